import type { HeaderPairs } from '../core/decision.ts'

/** Proves inside the process that an answer is the one a route marked; never leaves it. */
export const PROOF_FIELD = 'x-gate101-proof'

// RFC 9110 section 7.6.1 (connection fields), 8 and 6.6.1 (about content and framing that a 101 has not).
const NOT_ON_A_101 = new Set([
  PROOF_FIELD,
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
  'accept-ranges',
  'date',
])

const CONNECTION_FIELDS = new Set([PROOF_FIELD, 'connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade'])

function isWebSocketField(name: string): boolean {
  return name.startsWith('sec-websocket-')
}

/** The headers of the app's response that may stand on a 101. */
export function headersFor101(headers: HeaderPairs): HeaderPairs {
  return headers.filter(([field]) => {
    const name = field.toLowerCase()
    return !NOT_ON_A_101.has(name) && !isWebSocketField(name)
  })
}

/** The headers of the app's own refusal, as they go to the client: the connection ends here, and nothing is stored. */
export function headersForRefusal(headers: HeaderPairs, status: number): HeaderPairs {
  const kept = headers.filter(([field]) => {
    const name = field.toLowerCase()
    if (name === 'upgrade') return status === 426
    if (isWebSocketField(name)) return name === 'sec-websocket-version'
    return !CONNECTION_FIELDS.has(name)
  })
  const stored = kept.some(([field]) => field.toLowerCase() === 'cache-control')
  if (!stored) kept.push(['Cache-Control', 'no-store'])
  kept.push(['Connection', status === 426 ? 'close, Upgrade' : 'close'])
  return kept
}
