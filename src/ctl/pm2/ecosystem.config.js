module.exports = {
  apps: [
    {
      name: 'web',
      script: './server.js',
      instances: 'max',
      exec_mode: 'cluster',
      env: { NODE_ENV: 'development' },
      env_production: { NODE_ENV: 'production' },
    },
    {
      name: 'worker',
      script: './worker.py',
      interpreter: 'python3',
    },
  ],
};
