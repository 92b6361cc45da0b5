import { REFUSALS, type RefusalCode } from '../core/refusals.ts'
import { DialError, type DialAdvice, type DialFacts } from './dial-error.ts'
import { OPTIONS } from './request.ts'

/** What is wrong with a request, by the option or rule. */
const WRONG: Readonly<Record<string, string>> = {
  url: 'The URL is not valid. Write it like ws://localhost:8080/ws.',
  scheme: 'The URL must start with ws:// or wss://.',
  fragment: 'The URL of a WebSocket has no fragment (#).',
  options: `dial() knows the options ${OPTIONS.join(', ')} and no other.`,
  timeout: `timeout must be a number of milliseconds from 1 to ${2 ** 31 - 1}.`,
  signal: 'signal must be an AbortSignal.',
  credentials: 'credentials must be a function that returns { headers }, { token }, { username, password } or null.',
  roads:
    'roads must be a list of headers, cookie, ticket, subprotocol and message; one of them must fit the credential.',
  ticket: 'ticket must be the URL where tickets are made, or { url, headers, fetch }.',
  renew: 'renew must be the URL where connections are renewed, or { url, headers, fetch }.',
  reconnect: 'reconnect must be false or { minDelay, maxDelay, attempts }, with milliseconds and a number.',
  headers: 'headers must be an object of texts.',
  protocols: 'protocols must be a subprotocol or a list of these.',
  allowedHosts: 'The host is not in allowedHosts, which must be a list of hosts.',
  dangerouslyAllowPlaintext: 'dangerouslyAllowPlaintext must be true or false.',
  plaintext: 'The credential would travel unencrypted: use wss:, or the option dangerouslyAllowPlaintext.',
  arguments: 'No handshake can be made of these arguments.',
}

/** The error with its words: texts of our own alone, for what the server wrote may repeat the credential. */
export function failInNode(facts: DialFacts, options?: ErrorOptions): DialError {
  const { answer } = facts
  const advice = answer?.advice === undefined ? undefined : withTexts(answer.advice)
  return new DialError(
    describe(facts),
    answer === undefined ? facts : { ...facts, answer: { ...answer, advice } },
    options,
  )
}

/** A code that came alone gets the texts of our own table. */
function withTexts(advice: DialAdvice): DialAdvice {
  if (advice.message !== '' || !isKnown(advice.error)) return advice
  const { message, fix } = REFUSALS[advice.error]
  return { error: advice.error, message, fix }
}

function describe({ code, url, what = '', phase = 'handshake', reason, answer, closeCode }: DialFacts): string {
  if (code === 'bad_request') return WRONG[what] ?? 'The request is not valid.'
  if (code === 'refused') return `${url} refused the ${phase}: ${refusal(answer?.status ?? closeCode, answer?.advice)}`
  if (code === 'aborted') return `Dialling ${url} was aborted.`
  if (code === 'timeout') return `${url} did not answer within ${what} ms.`
  if (code === 'unknown') return `${url} could not be opened, and does not say why.`
  if (code === 'no_credentials') return `credentials() failed for ${url}, or gave none where there were some before.`
  if (phase === 'session')
    return `The connection to ${url} ${code === 'unreachable' ? 'was lost' : 'broke the WebSocket protocol'}: ${closeCode}.`
  if (code === 'unreachable') return `${url} cannot be reached: ${reason ?? closeCode ?? phase}.`
  if (phase === 'renewal') return `The answer to the renewal of ${url} says of no connection that it is renewed.`
  return phase === 'ticket'
    ? `The answer to the request for a ticket for ${url} holds no ticket: is it a login page?`
    : `${url} did not answer with a valid ${phase}: ${reason ?? what}.`
}

function refusal(status: number | undefined, advice: DialAdvice | undefined): string {
  if (advice === undefined) return `${status}.`
  if (!isKnown(advice.error)) return `${status}. The server says how to mend it: see error.advice.`
  const { message, fix } = REFUSALS[advice.error]
  return `${status} ${advice.error}. ${message} ${fix}`
}

function isKnown(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code)
}
