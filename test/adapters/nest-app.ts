import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Module, type INestApplication, type ModuleMetadata, type NestModule } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { FastifyAdapter } from '@nestjs/platform-fastify'

export type Platform = 'express' | 'fastify'
export const PLATFORMS: readonly Platform[] = ['express', 'fastify']

/** The same as `@A() @B() method()`: this project has no decorator syntax. */
export function method(target: { prototype: object }, name: string, ...decorators: MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(target.prototype, name)
  if (descriptor === undefined) throw new Error(`no method ${name}`)
  for (const decorator of decorators.toReversed()) decorator(target.prototype, name, descriptor)
}

/** The same as `method(@A() first, @B() second)`. */
export function parameters(target: { prototype: object }, name: string, ...decorators: ParameterDecorator[]): void {
  for (const [index, decorator] of decorators.entries()) decorator(target.prototype, name, index)
}

export interface Made extends AsyncDisposable {
  readonly app: INestApplication
  readonly port: number
}

/** An app with everything that `NestFactory.create()` gives it, listening on a free port. */
export async function startNest(
  platform: Platform,
  metadata: ModuleMetadata,
  prepare: (app: INestApplication, server: Server) => void,
  configure: NestModule['configure'] = () => undefined,
): Promise<Made> {
  const App = class {
    readonly configure = configure
  }
  Module(metadata)(App)
  const adapter = platform === 'express' ? new ExpressAdapter() : new FastifyAdapter()
  const app = await NestFactory.create(App, adapter, { logger: false, abortOnError: false })
  const server = app.getHttpServer() as Server
  try {
    prepare(app, server)
    await app.listen(0, '127.0.0.1')
  } catch (error) {
    await app.close()
    throw error
  }
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    // Sockets of tests that failed would hold it open.
    server.closeAllConnections()
    await app.close()
  }
  return { app, port, [Symbol.asyncDispose]: close }
}
