import { connectApp } from './adapters/node.ts'
import { conformance } from './suite.ts'

conformance('Connect', connectApp)
conformance('Connect, scheme door', connectApp, { door: 'schemes' })
