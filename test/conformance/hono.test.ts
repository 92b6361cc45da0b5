import { honoApp } from './adapters/hono.ts'
import { conformance } from './suite.ts'

conformance('Hono', honoApp)
conformance('Hono, scheme door', honoApp, { door: 'schemes' })
