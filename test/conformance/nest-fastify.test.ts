import { nestOnFastify } from './adapters/nest.ts'
import { conformance } from './suite.ts'

conformance('NestJS on Fastify', nestOnFastify)
conformance('NestJS on Fastify, scheme door', nestOnFastify, { door: 'schemes' })
