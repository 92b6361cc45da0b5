import { fastifyApp } from './adapters/fastify.ts'
import { conformance } from './suite.ts'

conformance('Fastify', fastifyApp)
conformance('Fastify, scheme door', fastifyApp, { door: 'schemes' })
