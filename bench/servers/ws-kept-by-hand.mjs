// The same, and what the app could be asked with again is kept of each handshake: target and headers.
import { startWith } from './ws-indexed-by-hand.mjs'

export default () => startWith(({ url, rawHeaders }) => ({ url, rawHeaders }))
