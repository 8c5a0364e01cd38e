// The Express app as an ES module.
import compression from 'compression';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';

const app = express();
app.use(helmet());
app.use(compression());
app.use(rateLimit({ windowMs: 60_000, limit: 1_000_000_000 }));

app.get('/', (request, response) => response.json({ pid: process.pid }));
app.get('/health', (request, response) => response.json({ status: 'ok' }));
app.get('/slow', (request, response) => {
  setTimeout(() => response.json({ pid: process.pid }), Number(request.query.ms) || 1000);
});

app.listen(process.env.PORT || 3000);
