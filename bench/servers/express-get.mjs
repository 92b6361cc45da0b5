// The app of gate-express.mjs, answering the GET over HTTP.
import { createServer } from 'node:http'
import express from 'express'
import { isKey } from '../api-key.mjs'

export function guarded() {
  const app = express()
  app.use((req, res, next) => (isKey(req.headers['x-api-key']) ? next() : res.status(401).json({ error: 'no key' })))
  return app
}

export default function start() {
  const app = guarded()
  app.get('/ws', (_req, res) => res.end())
  return createServer(app)
}
