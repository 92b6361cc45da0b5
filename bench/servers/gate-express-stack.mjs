// A full stack of middlewares before the key check.
import { createServer } from 'node:http'
import cookieParser from 'cookie-parser'
import cors from 'cors'
import express from 'express'
import session from 'express-session'
import helmet from 'helmet'
import passport from 'passport'
import { createGate } from '../../dist/index.js'
import { isKey } from '../api-key.mjs'
import { echo } from '../echo.mjs'
import { identify } from '../identity.mjs'

/** @param limits - of the gate */
export function startWith(limits) {
  const app = express()
  app.get('/never', () => {}) // never answers
  app.use(
    helmet(),
    cors(),
    cookieParser(),
    session({ secret: 'bench', resave: false, saveUninitialized: false }),
    passport.session(),
  )
  app.use((req, res, next) => (isKey(req.headers['x-api-key']) ? next() : res.status(401).json({ error: 'no key' })))
  const gate = createGate({ identify, limits })
  app.get('/ws', gate.websocket(echo))
  const server = createServer(app)
  gate.attach(server)
  return server
}

export default () => startWith({})
