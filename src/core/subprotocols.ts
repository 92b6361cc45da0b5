/** Spoken by every route where nothing else was selected: for clients that offer a credential and no protocol of their own. */
export const PLAIN_SUBPROTOCOL = 'gate101'

/** A client that offers it can read a refusal from a Close frame. */
export const REFUSAL_SUBPROTOCOL = 'refusal.gate101'

/** What a client offers (RFC 6455 section 11.3.4), in its order. */
export function offeredSubprotocols(headers: ReadonlyArray<readonly [name: string, value: string]>): string[] {
  const items: string[] = []
  for (const [name, value] of headers) {
    if (name === 'sec-websocket-protocol') items.push(...value.split(',').map((item) => item.trim()))
  }
  return items.filter((item) => item !== '')
}
