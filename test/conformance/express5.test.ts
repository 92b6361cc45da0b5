import { expressApp } from './adapters/node.ts'
import { conformance } from './suite.ts'

conformance('Express 5', expressApp)
conformance('Express 5, scheme door', expressApp, { door: 'schemes' })
