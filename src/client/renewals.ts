import type { Opened } from './attempt.ts'
import { credentialFor, type Credential } from './credential.ts'
import { DialError } from './dial-error.ts'
import { countIn, errorOf } from './first-message.ts'
import { httpUrl, post } from './http.ts'
import { Lifetime, type Say } from './lifetime.ts'
import { parseObject, type Said } from './refusal.ts'
import type { Tries } from './reconnect.ts'
import type { DialRequest, DialRoute } from './request.ts'
import { firstMessage } from './road.ts'
import type { Runtime } from './runtime.ts'
import { Tabs } from './tabs.ts'
import { untilAborted } from './wait.ts'

const phase = 'renewal'

interface Renewing {
  readonly runtime: Runtime
  readonly request: DialRequest
  readonly tries: Tries
  readonly opened: Opened
}

/** The renewals of one open connection: over HTTP where there is a route, else by a message where one has opened it. */
export class Renewals {
  readonly #of: Renewing
  /** Of the renewal that is under way, or was the last one. */
  #stop: AbortController | undefined
  readonly #lifetime: Lifetime
  readonly #tabs: Tabs | undefined
  /** Waits for what the server says to the message that was sent. */
  #answer: ((answer: Said) => void) | undefined

  constructor(of: Renewing, say: Say) {
    const { request, tries, opened } = of
    const { granted } = opened
    this.#of = of
    const canRenew = request.renew !== undefined || granted?.renew === 'message'
    this.#lifetime = new Lifetime(async () => canRenew && (await this.#renew()), say)
    // By the cookies of the browser all of its tabs are renewed at once.
    if (request.renew !== undefined && tries.hadCredential !== true)
      this.#tabs = new Tabs(httpUrl(request.url, request.renew.url).href, this.#lifetime)
    if (granted !== undefined) this.#lifetime.begin(countIn(granted.expiresIn))
    // Nothing has said how long it is going to last.
    else void this.#lifetime.ask()
  }

  /** @returns whether the message is about authentication, and not for the app. */
  take(data: unknown): boolean {
    const { granted } = this.#of.opened
    if (granted === undefined || typeof data !== 'string' || !data.includes('"auth_')) return false
    const message = parseObject(data)
    const { type } = message
    if (type === 'auth_expiring') void this.#lifetime.ask(true)
    else {
      if (this.#answer === undefined || (type !== 'auth_ok' && type !== 'auth_error')) return false
      // Also where it comes so late that nobody waits for it any more.
      if (type === 'auth_ok') this.#lifetime.renewed(countIn(message.expiresIn))
      this.#answer(message)
      this.#answer = undefined
    }
    return true
  }

  end(): void {
    this.#stop?.abort()
    this.#lifetime.end()
    this.#tabs?.end()
  }

  /** @throws DialError */
  async #renew(): Promise<void> {
    const { runtime, request, tries } = this.#of
    const { timeout, fail } = request
    const stop = (this.#stop = new AbortController())
    const { signal } = stop
    // Not AbortSignal.timeout: some runtimes forget it where nobody else holds it.
    const timer = setTimeout(() => stop.abort(), timeout)
    try {
      const call = async (): Promise<unknown> => {
        const credential = await credentialFor(runtime, request, { attempt: 1, reason: 'renew' }, tries, signal)
        return await (request.renew === undefined
          ? this.#byMessage(credential, signal)
          : this.#byHttp(request.renew, credential, signal))
      }
      await (this.#tabs ? this.#tabs.renew(signal, call) : call())
    } catch (error) {
      // Before the answer to a message there may be no other one.
      throw error instanceof DialError
        ? error
        : fail('timeout', { phase, what: String(timeout), retryable: request.renew !== undefined })
    } finally {
      clearTimeout(timer)
    }
  }

  /** @returns what the answer says of the time. */
  async #byHttp(route: DialRoute, credential: Credential | undefined, signal: AbortSignal): Promise<unknown> {
    const { request, opened } = this.#of
    const connection = opened.granted?.connection
    const headers = typeof connection === 'string' ? { 'gate101-connection': connection } : undefined
    const { renewed, expiresIn } = await post(request, route, {
      phase,
      credential: credential?.headers,
      headers,
      signal,
    })
    // None here, perhaps: in a cluster the other nodes hear of it.
    if (countIn(renewed) === undefined) throw request.fail('bad_response', { phase })
    this.#lifetime.renewed(countIn(expiresIn))
    return expiresIn
  }

  async #byMessage(credential: Credential | undefined, signal: AbortSignal): Promise<void> {
    const { request, opened } = this.#of
    if (credential === undefined) throw request.fail('no_credentials', { phase })
    const asked = new Promise<Said>((resolve) => {
      this.#answer = resolve
      opened.link.socket.send(firstMessage(credential))
    })
    const answer = await untilAborted(asked, signal)
    if (answer.type === 'auth_error') throw errorOf(request.fail, phase, answer)
  }
}
