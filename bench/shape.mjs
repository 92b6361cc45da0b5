// What a careful author checks before any credential: shape, Host, Origin.
const PATH = /^(?:\/[A-Za-z0-9_~-]+)+(?:\?[A-Za-z0-9_~.&=-]*)?$/
const SINGLE = new Set(['host', 'origin', 'x-api-key', 'authorization', 'sec-websocket-key', 'sec-websocket-version'])

/** @returns the status of the refusal, or 0. */
export function misshapen(req) {
  const { headers, rawHeaders } = req
  if (rawHeaders.length > 128) return 431
  const seen = new Set()
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n].toLowerCase()
    if (!SINGLE.has(name)) continue
    if (seen.has(name)) return 400
    seen.add(name)
  }
  if (req.method !== 'GET' || req.httpVersion !== '1.1' || headers['sec-websocket-version'] !== '13') return 400
  if (headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined) return 400
  if (!PATH.test(req.url)) return 400
  const host = headers.host ?? ''
  if (!/^(?:127\.0\.0\.1|localhost)(?::\d+)?$/.test(host)) return 421
  if (headers.origin !== undefined && headers.origin !== `http://${host}`) return 403
  return 0
}
