import { Gate101Error } from '../core/errors.ts'

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** What belongs to the connection or to the message itself (RFC 9110 sections 7.6.1, 6.6 and 8; RFC 6455). */
const OF_THE_MESSAGE = [
  /^(?:connection|keep-alive|te|trailers?|transfer-encoding|upgrade|expect|max-forwards|early-data|http2-settings)$/,
  /^(?:content|sec|proxy|access-control)-/,
  /^(?:host|origin|referer|set-cookie2?|cookie2|authentication-info)$|(?:^|-)via(?:-|$)/,
  /^(?:x-)?(?:http-)?method(?:-|$)/,
]

/** What proxies and CDNs say about the client, its address and the request that it really made. */
const OF_A_PROXY = [
  /forward|proxied/,
  /^(?:x-)?(?:original|originating|rewrite|remote)/,
  /^(?:x-)?(?:real|true-client|cluster|peer|source|proxy|nginx|accel|akamai|cf|cdn)(?:-|$)/,
  /^x-(?:envoy|istio|traefik|haproxy|caddy|kong|apisix|krakend|oauth2-proxy)-/,
  /(?:client|remote|real|source)-?(?:ip|addr|host)/,
  /^x-(?:ip|host|url|uri|path|scheme|proto|protocol|port|https|sendfile|backend)(?:-|$)/,
  /^x-(?:arr|waws|azure|appengine|vercel|nf|amzn|ms|custom-ip)-/,
  /^(?:fly|fastly|l5d|tailscale|front-end|disguised)-/,
]

/** What an edge that has verified somebody says about them. */
const OF_AN_IDENTITY = [
  /user(?!-agent$)|principal|subject|identit|account|tenant|consumer|impersonat|on-behalf|run-?as|act-as|assum|assert|authenticated|anonymous/,
  /group|(?<!-cont)roles?(?:-|$)|persona|employee|customer|company|claim|entitlement|permission|privilege/,
  /(?:^|-)e?-?mail(?:s|-|addr|$)/,
  /(?:^|-)(?:orgs?|organi[sz]ations?|team|member|login|actor|sudo|scopes?|acl|upn|uid|sub|dn|cn)(?:-|$)/,
  /(?:^|-)(?:m?tls|ssl|certs?|certificates?|clientcert|verif(?:y|ied)|fingerprint)(?:-|$)/,
  /(?:^|-)(?:jwt|saml|sso|oidc|openid|iap|cas|shib|ldap|kerberos|spiffe)(?:-|$)/,
  /^x-(?:credential|endpoint-api|apigateway|serverless|pomerium|authentik|authelia|vouch|okta|auth0|keycloak|teleport)-/,
  /^x-webauth|^x-auth-request|^(?:x-)?authn|authz|name(?:-?id)?$/,
  /^(?:iv|sm|gap|osso|oam|ct|shib)-/,
  /^(?:x-)?(?:is-)?admin$/,
  /(?:^|-)(?:caller|viewer|staff|gid|zitadel|clearance|introspection|profile)(?:-|$)/,
  /^x-(?:id-token|decoded-token|token-info|access-level|security-context)$/,
]

const REFUSED = [...OF_THE_MESSAGE, ...OF_A_PROXY, ...OF_AN_IDENTITY]

/** X-Auth-Level and X-Auth-Status are an edge's words; X-Auth-Token and X-Auth-Key an app's own keys. */
const VAGUE = /^(?:x-)?(?:auth|client|internal|trusted)-/
const OWN_KEY = /-(?:api-?key|key|token|secret|signature|timestamp|nonce)$/

/**
 * Whether a road may set this header. False for what frames the message, for what a hop or a proxy says, and for the
 * names under which proxies pass on who somebody is: an app behind such a proxy believes these without any proof.
 */
export function mayInject(name: string): boolean {
  if (!TOKEN.test(name)) return false
  // CGI, WSGI and their relatives cannot tell `x_remote_user` and `X.Remote.User` from `X-Remote-User`.
  const folded = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  if (REFUSED.some((pattern) => pattern.test(folded))) return false
  return !VAGUE.test(folded) || OWN_KEY.test(folded)
}

/**
 * Reads a list of names of headers that a road may set.
 *
 * @param where - names the option in the error.
 * @returns lower-case names, each once.
 * @throws Gate101Error `GATE101_CONFIG` for what is no header name, or none that a credential may travel in.
 */
export function checkInjectable(where: string, names: readonly unknown[]): readonly string[] {
  return Object.freeze([...new Set(names.map((name) => checkName(where, name)))])
}

function checkName(where: string, name: unknown): string {
  if (typeof name !== 'string' || !TOKEN.test(name)) {
    throw new Gate101Error('GATE101_CONFIG', `${where}: "${String(name)}" is no header name.`)
  }
  if (mayInject(name)) return name.toLowerCase()
  throw new Gate101Error(
    'GATE101_CONFIG',
    `${where}: a client may not set "${name}". Proxies and servers write such headers, and whoever reads them believes them; use authorization or a header of your own such as x-api-key.`,
  )
}
