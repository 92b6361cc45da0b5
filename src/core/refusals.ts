/** One reason for which a handshake is refused. The code is stable; `docs/errors.md` lists them all. */
export interface RefusalRow {
  readonly status: number
  /** What is wrong, for the person at the client. Never holds anything from the request. */
  readonly message: string
  /** How to mend it. */
  readonly fix: string
  readonly headers?: Readonly<Record<string, string>>
}

const websocket = { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }

/** Every refusal that gate101 itself writes. The app's own refusals are sent as the app wrote them. */
export const REFUSALS = {
  method_not_allowed: {
    status: 405,
    message: 'A WebSocket handshake is a GET.',
    fix: 'Send the handshake with the method GET.',
    headers: { Allow: 'GET' },
  },
  http_version: {
    status: 400,
    message: 'A WebSocket handshake needs HTTP/1.1.',
    fix: 'Use an HTTP/1.1 client; let a proxy in front speak HTTP/1.1 to this server.',
  },
  bad_host: {
    status: 400,
    message: 'A handshake needs exactly one valid Host header.',
    fix: 'Send one Host header: host, or host:port.',
  },
  bad_upgrade: {
    status: 400,
    message: 'Upgrade must be exactly "websocket".',
    fix: 'Send one header "Upgrade: websocket" and no other protocol beside it.',
  },
  upgrade_required: {
    status: 426,
    message: 'This server upgrades to WebSocket only.',
    fix: 'Send "Upgrade: websocket" and "Sec-WebSocket-Version: 13".',
    headers: websocket,
  },
  websocket_only: {
    status: 426,
    message: 'This is a WebSocket endpoint.',
    fix: 'Connect with a WebSocket client, and send the credentials as headers of the handshake itself: a plain GET before it does not log the handshake in.',
    headers: websocket,
  },
  not_found: { status: 404, message: 'No WebSocket endpoint is at this path.', fix: 'Check the path of the URL.' },
  bad_connection: {
    status: 400,
    message: 'Connection must contain "Upgrade" and may add only "keep-alive" or "close".',
    fix: 'Send "Connection: Upgrade".',
  },
  bad_version: {
    status: 426,
    message: 'Only version 13 of the WebSocket protocol is spoken here.',
    fix: 'Send one header "Sec-WebSocket-Version: 13".',
    headers: websocket,
  },
  bad_key: {
    status: 400,
    message: 'Sec-WebSocket-Key must be one base64 value of 16 bytes.',
    fix: 'Use a WebSocket client; it makes the key.',
  },
  body_not_allowed: {
    status: 400,
    message: 'A handshake has no body.',
    fix: 'Leave out Content-Length and Transfer-Encoding.',
  },
  expectation_failed: {
    status: 417,
    message: 'Expect is not supported on a handshake.',
    fix: 'Leave out the Expect header.',
  },
  // Never written: what is written now would be taken for the answer that is owed. The connection is cut.
  pipelined: {
    status: 400,
    message: 'A handshake must not follow a request that has no answer yet.',
    fix: 'Open a connection of its own for the handshake.',
  },
  duplicate_header: {
    status: 400,
    message: 'A header that decides about access was sent twice.',
    fix: 'Send Host, Origin and each credential header once.',
  },
  bad_protocol: {
    status: 400,
    message: 'Sec-WebSocket-Protocol must be a list of at most 32 different tokens.',
    fix: "Offer each subprotocol once; a token has letters, digits and !#$%&'*+-.^_`|~ only.",
  },
  bad_target: {
    status: 400,
    message: 'The request target is not in its canonical form.',
    fix: 'Use a path like /ws: no //, /../, ;, \\, # and no percent-encoding of plain characters.',
  },
  target_too_long: {
    status: 414,
    message: 'The request target is longer than 4096 bytes.',
    fix: 'Move data out of the URL; send it as a message after connecting.',
  },
  headers_too_large: {
    status: 431,
    message: 'The handshake has too many headers, or one that is too large.',
    fix: 'Send at most 64 headers; credentials of at most 8192 bytes, Cookie excepted.',
  },
  host_not_allowed: {
    status: 421,
    message: 'This server does not answer for that Host.',
    fix: 'Connect by a name this server knows. Operator: list the name in the option hosts or origins.',
  },
  bad_origin: {
    status: 403,
    message: 'This Origin may not connect.',
    fix: 'Operator: list the Origin in the option origins; behind a proxy, list the proxy in trustedProxies.',
  },
  missing_origin: {
    status: 403,
    message: 'A cookie or client certificate alone is not enough without an Origin.',
    fix: 'Send an Origin header, or an explicit credential such as Authorization.',
  },
  cross_site: {
    status: 403,
    message: 'A cross-site page may not connect.',
    fix: "Operator: list the page's Origin in the option origins.",
  },
  too_many_handshakes: {
    status: 503,
    message: 'Too many handshakes are being decided at this moment.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '1' },
  },
  too_many_from_address: {
    status: 429,
    message: 'Too many handshakes from this address are being decided at this moment.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '1' },
  },
  closing: {
    status: 503,
    message: 'This server is shutting down.',
    fix: 'Connect again after the time in Retry-After.',
    headers: { 'Retry-After': '5' },
  },
  handshake_timeout: {
    status: 503,
    message: 'The server did not decide in time.',
    fix: 'Try again later. Operator: the app did not end the response; see limits.deadline.',
    headers: { 'Retry-After': '1' },
  },
  missing_credential: {
    status: 401,
    message: 'This handshake carries no credential.',
    fix: 'Send the credential as a header of the WebSocket handshake itself, not of an earlier request.',
  },
  invalid_credential: {
    status: 401,
    message: 'The credential was not accepted.',
    fix: 'Check the key, token or password and that it has not been withdrawn.',
  },
  expired_credential: { status: 401, message: 'The credential has expired.', fix: 'Get a new one and connect again.' },
  credential_conflict: {
    status: 400,
    message: 'The handshake carries two credentials.',
    fix: 'Send one credential only.',
  },
  verifier_busy: {
    status: 503,
    message: 'Too many credentials are being verified at this moment.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '1' },
  },
  verifier_unavailable: {
    status: 503,
    message: 'The credential could not be verified just now.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '5' },
  },
  not_accepted: {
    status: 403,
    message: 'The app answered this handshake as an ordinary page; nothing accepted it as a WebSocket.',
    fix: 'Operator: end the route with gate.websocket(handler) or gate.accept().',
  },
  unguarded_route: {
    status: 403,
    message: 'This route let a handshake without any credential in.',
    fix: 'Operator: put your authentication before the route, or write { anonymous: true } on it.',
  },
  no_identity: {
    status: 403,
    message: 'The app let this handshake in, but nobody is logged in.',
    fix: 'Operator: identify() returned no subject; put your authentication before the route.',
  },
  unmarked_101: {
    status: 500,
    message: 'The app answered 101 without the gate.',
    fix: 'Operator: use gate.websocket(handler) or gate.accept() instead of writing status 101.',
  },
  bad_answer: {
    status: 500,
    message: "The app's answer is not valid HTTP.",
    fix: 'Operator: see the refused event for the cause.',
  },
  app_error: {
    status: 500,
    message: 'The app failed while deciding.',
    fix: 'Operator: see the refused event for the cause.',
  },
  no_listener: {
    status: 500,
    message: 'Nothing takes this WebSocket over.',
    fix: 'Operator: name the WebSocket library in gate.accept(to).',
  },
} as const satisfies Record<string, RefusalRow>

export type RefusalCode = keyof typeof REFUSALS
