import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createGate, type Gate } from '../../../src/index.ts'
import { apiKey } from '../../../src/schemes.ts'
import type { Certificate } from '../../support/certs.ts'
import { identifyRequest, KEY, type Build, type BuiltApp } from '../app.ts'

/** The names under which `differs` of the table lists facts of a framework. */
export type Framework =
  | 'http'
  | 'connect'
  | 'express4'
  | 'express5'
  | 'koa'
  | 'fastify'
  | 'hono'
  | 'nest-express'
  | 'nest-fastify'

export interface Setup extends Build {
  /** Given where the app is to be served on TLS. */
  readonly tls?: Certificate | undefined
}

/** Builds the neutral app with one framework. */
export interface Adapter {
  readonly framework: Framework
  build(setup: Setup): Promise<BuiltApp>
}

/** A middleware of the Connect family. */
export type NodeMiddleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => unknown

/** @param requestOf - finds the `IncomingMessage` in the framework's own context. */
export function makeGate<Context>(setup: Setup, requestOf: (context: Context) => IncomingMessage): Gate<Context> {
  if (setup.door === 'schemes') {
    return createGate<Context>({ ...setup.options, authenticate: apiKey({ keys: [{ key: KEY, subject: 'alice' }] }) })
  }
  return createGate<Context>({ ...setup.options, identify: (context) => identifyRequest(requestOf(context)) })
}

export function serve(setup: Setup, listener: RequestListener): Server {
  return setup.tls === undefined ? createServer(listener) : createTlsServer(setup.tls, listener)
}
