import { bareWs } from './adapters/bare.ts'
import { conformance } from './suite.ts'

const GROUPS = new Set(['shape', 'target', 'host and origin', 'credentials', 'messages'])
// Other paths are other routes of the app, and a size limit is the library's own.
const NOT_HERE = new Set(['a message of 2 MiB'])

conformance('ws alone, scheme door', bareWs, {
  door: 'schemes',
  only: ({ group, name, request: { target = '/ws' }, expect }) =>
    GROUPS.has(group) && !NOT_HERE.has(name) && (target === '/ws' || expect.to === 'refuse'),
})
