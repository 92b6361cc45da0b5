// The same, and re-checks as they are by default: each handshake is kept.
import { startWith } from './gate-indexed.mjs'

export default () => startWith({})
