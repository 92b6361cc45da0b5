import assert from 'node:assert/strict'
import { once } from 'node:events'
import { it } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import fc from 'fast-check'
import { ENDS } from '../../src/core/end.ts'
import { REFUSALS } from '../../src/core/refusals.ts'
import { instrument } from '../../src/opentelemetry.ts'
import { createSdk } from './recorded.ts'
import { createWorld } from './world.ts'

const CODES = [...Object.keys(REFUSALS), 'app', 'library']
const REASONS = [...Object.values(ENDS).map(({ reason }) => reason), 'ended', 'closed', 'other']
const OUTCOMES = ['accepted', 'refused', 'aborted', 'error']

/** Everything that a label may say. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  outcome: OUTCOMES,
  reason: CODES,
  close: REASONS,
  event: ['minted', 'redeemed', 'refused'],
  scope: ['subject', 'session', 'credential', 'connection', 'tag'],
  why: ['schedule', 'expiry', 'session'],
  by: ['http', 'message', 'recheck'],
}

/** Of spans alone. */
const NUMBERS = ['http.response.status_code', 'connections', 'matched', 'closed']

function assertClosed(attributes: Attributes, numbers: readonly string[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (numbers.includes(name)) assert.equal(typeof value, 'number')
    else assert.ok(WORDS[name]?.includes(String(value)), `${name}=${String(value)}`)
  }
}

/** Never a part of what is exported by chance. */
const secret = fc.stringMatching(/^[a-z0-9]{6,12}$/).map((text) => `zq${text}`)

it('no path, subject, session, tag, address or text of the app is in anything that is exported', async () => {
  await using sdk = createSdk()
  const said: string[] = []
  const given = fc.record({
    token: secret,
    subject: secret,
    session: secret,
    credential: secret,
    tag: secret,
    path: secret,
    text: secret,
    status: fc.constantFrom(401, 404, 418, 500, 503),
  })
  await fc.assert(
    fc.asyncProperty(given, async ({ token, path, text, status, ...identity }) => {
      // One of its own: what was revoked once stays revoked.
      await using world = await createWorld()
      const stop = instrument(world.gate, sdk.providers)
      const { subject, session, credential, tag } = identity
      const person = world.meet(token, { subject, session, credential, tags: [tag], claims: { text } })
      const where = `/live/${path}`
      const [ended, revoked] = [await world.open(token, where), await world.open(token, where)]
      const closed = [once(ended, 'close'), once(revoked, 'close')]
      const [first] = world.gate.connections
      assert.ok(first)
      const { id } = first
      assert.equal((await world.post(token, '/live/renew')).status, 200)
      first.end(text)
      for (const selector of [{ connection: id }, { tag }, { credential }, { session }, { subject }]) {
        await world.gate.revoke(selector)
      }
      await Promise.all(closed)
      person.status = status
      assert.equal((await world.dial(token, `${where}?token=${token}`)).status, status)
      assert.equal((await world.dial(token, `/${path}//`)).status, 400)
      stop()
      said.push(token, path, text, subject, session, credential, tag, id)
    }),
    { numRuns: 25 },
  )
  const metrics = await sdk.metrics()
  const spans = sdk.spans()
  const names = metrics.map(({ descriptor }) => descriptor.name)
  for (const name of ['ws_connection_duration', 'ws_revocations', 'ws_renewals']) assert.ok(names.includes(name))
  assert.ok(spans.length >= 25 * 9)
  for (const { dataPoints } of metrics) for (const { attributes } of dataPoints) assertClosed(attributes, [])
  for (const { attributes } of spans) assertClosed(attributes, NUMBERS)
  const exported = JSON.stringify([
    metrics.map(({ descriptor, dataPoints }) => [descriptor, dataPoints.map(({ attributes }) => attributes)]),
    spans.map(({ name, attributes, status, events, links }) => [name, attributes, status, events, links]),
  ])
  for (const word of [...said, '127.0.0.1', '/live']) {
    assert.equal(exported.includes(word), false, `${word} in ${exported}`)
  }
})

it('an end that the gate itself decides keeps its word, and any other is "other"', async () => {
  await using world = await createWorld()
  await using sdk = createSdk()
  instrument(world.gate, sdk.providers)
  world.meet('t1', { subject: 'ann' })
  const texts = [undefined, '', 'toString', '__proto__', 'Expired', 'expired ', ...REASONS]
  for (const text of texts) {
    const closed = once(await world.open('t1'), 'close')
    for (const connection of world.gate.connections) connection.end(text)
    await closed
  }
  const life = (await sdk.metrics()).find(({ descriptor }) => descriptor.name === 'ws_connection_duration')
  const counts = life?.dataPoints.map(({ attributes, value }) => [
    attributes['close'],
    typeof value === 'object' ? value.count : value,
  ])
  const others = texts.length - REASONS.length // and "other" itself, but not the text that was left out
  const expected = REASONS.map((reason) => [reason, reason === 'other' ? others : reason === 'ended' ? 2 : 1])
  assert.deepEqual(new Map(counts as Array<[string, number]>), new Map(expected as Array<[string, number]>))
})
