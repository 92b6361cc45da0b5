import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkInjectable, mayInject } from '../../../src/credentials/names.ts'

const MESSAGE = `connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer trailers
  transfer-encoding upgrade expect max-forwards early-data http2-settings content-length content-type content-encoding
  content-location host origin referer via set-cookie cookie2 authentication-info sec-websocket-key sec-websocket-protocol sec-fetch-site sec-anything
  access-control-request-method x-http-method-override x-http-method x-method-override`

const PROXY = `forwarded x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix
  x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-access-token x-forwarded-client-cert x-forward-for
  x-real-ip x-client-ip client-ip x-clientip true-client-ip cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-ray
  x-cluster-client-ip x-original-url x-original-uri x-original-host x-original-forwarded-for x-original-authorization
  x-rewrite-url x-originating-ip x-remote-addr x-remote-ip remote-addr fastly-client-ip fly-client-ip x-azure-clientip
  x-azure-socketip x-appengine-user-ip x-nf-client-connection-ip x-arr-ssl x-arr-clientcert front-end-https x-url-scheme
  x-scheme x-host x-envoy-external-address x-envoy-original-path l5d-client-id x-custom-ip-authorization x-accel-redirect
  x-proxy-user disguised-host x-vercel-forwarded-for x-peer-address akamai-origin-hop x-istio-attributes
  x-kong-upstream-latency x-originalhost x-bluecoat-via wl-proxy-ssl wl-proxy-client-ip x-cf-worker`

const IDENTITY = `x-remote-user remote-user x-remote-email x-remote-groups x-remote-group x-remote-name x-remote-extra-scopes
  remote-groups remote-name remote-email x-auth-request-user x-auth-request-email x-auth-request-groups
  x-auth-request-preferred-username x-auth-request-access-token x-auth-request-redirect x-auth-user x-auth-email x-auth-roles
  x-auth-status x-auth-level x-webauth-user x-webauth-email x-webauth-role x-authenticated-user x-authenticated-userid
  x-authenticated-groups x-authenticated x-authenticated-scope x-goog-iap-jwt-assertion x-goog-authenticated-user-email
  x-goog-authenticated-user-id cf-access-authenticated-user-email cf-access-jwt-assertion cf-access-client-id
  x-ms-client-principal x-ms-client-principal-id x-ms-client-principal-name x-ms-client-principal-idp
  x-ms-token-aad-id-token x-ms-token-google-access-token x-amzn-oidc-data x-amzn-oidc-identity x-amzn-oidc-accesstoken
  x-amzn-mtls-clientcert-subject x-pomerium-claim-email x-pomerium-jwt-assertion x-authentik-username x-authentik-groups
  x-authentik-jwt x-vouch-user x-vouch-idp-accesstoken tailscale-user-login tailscale-user-name tailscale-user-profile-pic
  x-consumer-id x-consumer-username x-consumer-custom-id x-consumer-groups x-credential-identifier x-credential-username
  x-anonymous-consumer x-jwt-payload x-jwt-assertion x-jwt-claim-sub x-userinfo x-endpoint-api-userinfo
  x-endpoint-api-consumer-type x-apigateway-api-userinfo x-user x-user-id x-user-email x-user-roles x-userid x-username
  username user userid x-email email x-useremail x-groups x-group x-roles x-role x-ssl-client-cert x-ssl-client-s-dn
  x-ssl-client-verify ssl-client-cert ssl-client-verify ssl-client-s-dn x-client-cert x-client-certificate x-client-cert-dn
  x-client-verify x-client-dn client-cert client-cert-chain x-tenant x-tenant-id x-principal x-principal-name x-identity
  x-rh-identity x-subject x-account x-account-id x-org x-org-id x-organization x-organisation-id x-team-id x-member-id
  impersonate-user impersonate-group impersonate-uid impersonate-extra-scopes x-impersonate sudo x-on-behalf-of
  oidc-claim-sub oidc-access-token saml-subject x-saml-nameid shib-session-id shib-identity-provider sm-user
  sm-universalid iv-user iv-groups iv-creds gap-auth oam-remote-user x-okta-user x-scopes x-claims x-permissions x-is-admin
  x-id-token x-decoded-token x-token-info x-access-level x-security-context x-caller x-caller-id x-viewer x-staff x-gid
  x-zitadel-orgid x-clearance x-introspection x-profile
  x-admin x-hasura-role x-hasura-user-id x-customer-id x-employee-id x-login x-uid x-upn x-sub x-spiffe-id x-tls-client-cert
  x-mtls-cert x-cert-subject x-verified-email x-sso-user x-cas-user x-ldap-dn x-internal-user x-trusted-caller
  x-appengine-user-email x-authelia-user authn-user x-token-subject x-scope-orgid
  x-proxiedentitieschain x-display-name x-saml-nameid x-ext-authz-result x-run-as x-act-as x-assume-role x-company-id
  es-security-runas-user x-distinguished-name x-remotename`

const OWN = `authorization cookie x-api-key api-key apikey x-apikey x-auth-token x-auth-key x-auth-api-key x-auth-secret
  x-access-token x-token x-session-token x-session-id x-csrf-token x-goog-api-key ocp-apim-subscription-key x-functions-key
  private-token x-vault-token x-gitlab-token x-app-key x-client-token x-client-secret x-internal-token x-signature signature
  signature-input dpop x-authorization x-amz-security-token x-rapidapi-key x-device-token x-request-id x-b3-traceid
  traceparent user-agent accept accept-language`

const words = (text: string): string[] => text.trim().split(/\s+/)

/** Other spellings under which some server knows the same header. */
const spellings = (name: string): string[] => [
  name,
  name.toUpperCase(),
  name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()),
  name.replaceAll('-', '_'),
  name.replaceAll('-', '.'),
  name.replaceAll('-', '~'),
]

test('no road sets what a hop, a proxy or an edge says', () => {
  const names = words(`${MESSAGE} ${PROXY} ${IDENTITY}`)
  assert.ok(words(IDENTITY).length > 40)
  assert.deepEqual(
    names.flatMap(spellings).filter((name) => mayInject(name)),
    [],
  )
})

test('an app has names of its own for its keys', () => {
  assert.deepEqual(
    words(OWN).filter((name) => !mayInject(name)),
    [],
  )
})

test('what is no header name is never set', () => {
  for (const name of [
    '',
    ' ',
    'x y',
    'x:',
    'authorization ',
    'authorization\r\nx-remote-user',
    'naïve',
    'a\u212a',
    'x(y)',
  ])
    assert.equal(mayInject(name), false, JSON.stringify(name))
})

test('no spelling of X-Remote-User that a server folds gets through', () => {
  const separator = fc.constantFrom('-', '_', '.', '--', '-_', '~', '!', "'")
  const cased = (word: string): fc.Arbitrary<string> =>
    fc.array(fc.boolean(), { minLength: word.length, maxLength: word.length }).map((upper) =>
      Array.from(word)
        .map((letter, n) => (upper[n] === true ? letter.toUpperCase() : letter))
        .join(''),
    )
  fc.assert(
    fc.property(cased('x'), separator, cased('remote'), separator, cased('user'), (x, a, remote, b, user) => {
      assert.equal(mayInject(`${x}${a}${remote}${b}${user}`), false)
    }),
  )
})

test('a list of names is read in lower case, each once', () => {
  assert.deepEqual(checkInjectable('headers', ['Authorization', 'X-Api-Key', 'authorization']), [
    'authorization',
    'x-api-key',
  ])
})

for (const wrong of ['X-Remote-User', 'Host', 'x forwarded', '', 7, null, undefined, Symbol('name')]) {
  test(`a list with ${String(wrong)} is refused at the start`, () => {
    assert.throws(() => checkInjectable('createGate: firstMessage.headers', ['authorization', wrong]), {
      code: 'GATE101_CONFIG',
      message: /^createGate: firstMessage\.headers: /,
    })
  })
}
