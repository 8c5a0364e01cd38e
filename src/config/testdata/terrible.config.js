module.exports = {
  apps: [
    { name: 'web', script: 'gone.js', instances: 'many', restart_delay: NaN, wait_ready: 1 },
    { name: 'api', script: 'app.js', env: { A: null, B: () => 1, TOKEN: 'hunter2' }, interpeter: 'node' },
    undefined,
  ],
  deploy: {},
  aps: [],
};
