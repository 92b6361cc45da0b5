import { createServer } from 'node:http'
import express from 'express'
import expressWs from 'express-ws'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'

export default function start() {
  const app = express()
  const server = createServer(app)
  expressWs(app, server)
  app.ws('/ws', (ws, req) => {
    if (!isKey(req.headers['x-api-key'])) return ws.close(4401)
    echo(ws)
  })
  return server
}
