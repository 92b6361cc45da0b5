import { describe } from 'node:test'
import { makeCertificate } from '../support/certs.ts'
import { findOpenssl, skipWithout } from '../support/debian.ts'
import { fastifyApp } from './adapters/fastify.ts'
import { honoApp } from './adapters/hono.ts'
import { expressApp, nodeHttp } from './adapters/node.ts'
import { conformance } from './suite.ts'

const skip = skipWithout(findOpenssl())

describe('on TLS', { skip }, () => {
  if (skip !== false) return
  const tls = makeCertificate()
  conformance('node:https', nodeHttp, { tls })
  conformance('Express 5 on TLS', expressApp, { tls })
  conformance('Fastify on TLS', fastifyApp, { tls })
  conformance('Hono on TLS', honoApp, { tls })
  conformance('Express 5 on TLS, scheme door', expressApp, { tls, door: 'schemes' })
})
