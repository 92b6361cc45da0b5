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
  cluster_stale: {
    status: 503,
    message: 'This server cannot know at the moment who was logged out elsewhere.',
    fix: 'Connect again after the time in Retry-After. Operator: the engine of the cluster gives no answer, or is catching up; see the event "cluster".',
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
  revoked_credential: {
    status: 401,
    message: 'The credential has been revoked.',
    fix: 'Log in again, or get a new key or token.',
  },
  credential_conflict: {
    status: 400,
    message: 'The handshake carries two credentials.',
    fix: 'Send one credential only, in one place only.',
  },
  duplicate_cookie: {
    status: 400,
    message: 'A cookie that decides about access was sent twice.',
    fix: 'Clear the cookies of this site. Operator: another host of the domain may set a cookie of that name; use the prefix __Host-.',
  },
  bad_token: {
    status: 400,
    message: 'The token in the subprotocol or in the URL is not written as it must be.',
    fix: 'In a subprotocol write base64url without padding (no =, + or /); in the URL write the token itself, once.',
  },
  subprotocol_required: {
    status: 400,
    message: 'The only subprotocol that is offered is a credential, which is never selected.',
    fix: 'Offer a real subprotocol beside the token, such as "gate101".',
  },
  invalid_ticket: {
    status: 401,
    message: 'The ticket is unknown, used or expired.',
    fix: 'Get a new ticket for each attempt: it is good for one handshake within seconds.',
  },
  ticket_mismatch: {
    status: 403,
    message: 'The ticket was made for another path or another Origin, and is used up now.',
    fix: 'Connect to the path that the ticket was made for, from the page that asked for it.',
  },
  tickets_unavailable: {
    status: 503,
    message: 'Tickets cannot be stored or read just now.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '5' },
  },
  too_many_tickets: {
    status: 429,
    message: 'This session has too many tickets that were not used yet.',
    fix: 'Use a ticket right after it was made; try again after the time in Retry-After.',
    headers: { 'Retry-After': '15' },
  },
  ticket_needs_post: {
    status: 405,
    message: 'A ticket is asked for with POST.',
    fix: 'Send POST with the Content-Type application/json.',
    headers: { Allow: 'POST' },
  },
  ticket_needs_json: {
    status: 415,
    message: 'A ticket is asked for with the Content-Type application/json.',
    fix: 'Send the header "Content-Type: application/json": a form of another site cannot.',
  },
  auth_timeout: {
    status: 408,
    message: 'No credential came in the first message in time.',
    fix: 'Send the first message right after the WebSocket opens.',
  },
  bad_auth_message: {
    status: 400,
    message: 'The first message is not an auth message, or another message came before its answer.',
    fix: 'Send one text such as {"type":"auth","token":"…"} and wait for auth_ok.',
  },
  message_too_big: {
    status: 413,
    message: 'The first message is larger than 4096 bytes, or in more than 16 fragments.',
    fix: 'Send the credential alone.',
  },
  bad_frame: {
    status: 400,
    message: 'What came before the verdict is not the WebSocket protocol.',
    fix: 'Use a WebSocket client.',
  },
  too_many_frames: {
    status: 429,
    message: 'Too many control frames came before the first message.',
    fix: 'Send the first message right after the WebSocket opens.',
  },
  too_many_attempts: {
    status: 429,
    message: 'Too many wrong passwords for this account from this address.',
    fix: 'Try again after the time in Retry-After.',
  },
  identity_changed: {
    status: 403,
    message: 'The connection belongs to somebody else already.',
    fix: 'Open a connection of its own for another identity.',
  },
  stale_credential: {
    status: 409,
    message: 'The connection goes on with a later credential already.',
    fix: 'Renew with the newest credential; the connection is as it was.',
  },
  renew_needs_post: {
    status: 405,
    message: 'A connection is renewed with POST.',
    fix: 'Send POST with the Content-Type application/json.',
    headers: { Allow: 'POST' },
  },
  renew_needs_json: {
    status: 415,
    message: 'A connection is renewed with the Content-Type application/json.',
    fix: 'Send the header "Content-Type: application/json": a form of another site cannot.',
  },
  renew_needs_connection: {
    status: 400,
    message: 'This login has no session by which its connections could be found.',
    fix: 'Send the header Gate101-Connection with the token of the connection. Operator: let identify() return the session.',
  },
  unknown_connection: {
    status: 404,
    message: 'There is no such connection, or it has ended.',
    fix: 'Connect again.',
  },
  too_many_renewals: {
    status: 429,
    message: 'This connection was renewed too often.',
    fix: 'Renew once, well before the credential expires.',
    headers: { 'Retry-After': '60' },
  },
  too_many_connections: {
    status: 503,
    message: 'This server has as many open connections as it may have.',
    fix: 'Try again after the time in Retry-After.',
    headers: { 'Retry-After': '30' },
  },
  too_many_for_address: {
    status: 429,
    message: 'There are too many open connections from this address.',
    fix: 'Close one of them; try again after the time in Retry-After.',
    headers: { 'Retry-After': '30' },
  },
  too_many_for_session: {
    status: 429,
    message: 'There are too many open connections of this session.',
    fix: 'Close one of them; try again after the time in Retry-After.',
    headers: { 'Retry-After': '30' },
  },
  too_many_for_subject: {
    status: 429,
    message: 'There are too many open connections of this user.',
    fix: 'Close one of them; try again after the time in Retry-After.',
    headers: { 'Retry-After': '30' },
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
