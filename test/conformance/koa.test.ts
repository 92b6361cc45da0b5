import { koaApp } from './adapters/koa.ts'
import { conformance } from './suite.ts'

conformance('Koa', koaApp)
conformance('Koa, scheme door', koaApp, { door: 'schemes' })
