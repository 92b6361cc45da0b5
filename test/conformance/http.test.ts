import { nodeHttp } from './adapters/node.ts'
import { conformance } from './suite.ts'

conformance('node:http', nodeHttp)
conformance('node:http, scheme door', nodeHttp, { door: 'schemes' })
