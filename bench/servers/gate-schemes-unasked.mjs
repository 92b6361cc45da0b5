// gate-schemes.mjs with re-checks switched off.
import { startWith } from './gate-schemes.mjs'

export default () => startWith({ recheck: false })
