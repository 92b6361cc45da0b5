import { express4App } from './adapters/node.ts'
import { conformance } from './suite.ts'

conformance('Express 4', express4App)
conformance('Express 4, scheme door', express4App, { door: 'schemes' })
