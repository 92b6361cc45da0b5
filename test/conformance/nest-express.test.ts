import { nestOnExpress } from './adapters/nest.ts'
import { conformance } from './suite.ts'

conformance('NestJS on Express', nestOnExpress)
conformance('NestJS on Express, scheme door', nestOnExpress, { door: 'schemes' })
