import type { HeaderMap } from './headers.ts'
import { post } from './http.ts'
import type { Said } from './refusal.ts'
import type { DialRequest, DialRoute } from './request.ts'

/** Gets a ticket for one attempt and returns where to connect with it. */
export async function urlWithTicket(
  request: DialRequest,
  route: DialRoute,
  credential: HeaderMap | undefined,
  signal: AbortSignal,
): Promise<URL> {
  const phase = 'ticket'
  const target = readTicket(request.url, await post(request, route, { phase, credential, signal }))
  if (target === undefined) throw request.fail('bad_response', { phase })
  return target
}

/** The URL with the ticket in it: on the host that is dialled and no other. */
function readTicket(dialled: URL, answer: Said): URL | undefined {
  const { ticket, url = dialled.pathname } = answer
  if (typeof ticket !== 'string' || !/^[\w.~-]+$/.test(ticket) || !/^\/(?!\/)/.test(String(url))) return undefined
  const target = new URL(String(url), dialled)
  if (target.origin !== dialled.origin) return undefined
  target.search = `${dialled.search && `${dialled.search}&`}ticket=${ticket}`
  return target
}
