// gate-schemes.mjs, at which others were revoked before.
import { startWith } from './gate-schemes.mjs'

const REVOKED = 100_000

export default () =>
  startWith({}, (gate) =>
    Promise.all(Array.from({ length: REVOKED }, (_, n) => gate.revoke({ session: `a session that is over, ${n}` }))),
  )
