import { once } from 'node:events'
import { abandon, heard, heardTimes, openByMessage, type World } from './world.ts'

export const SECRETS = {
  token: 'token-7f3a',
  session: 'session-91d2',
  credential: 'credential-0b5c',
  tag: 'tag-5e1f',
  query: 'query-c3d4',
  cookie: 'cookie-77aa',
  setCookie: 'cookie-of-the-app',
} as const

/** Makes every event happen, with and without all that may be in it; who has secrets uses all of them. */
export async function doEverything(world: World): Promise<string[]> {
  const { gate, clock } = world
  const { token, session, credential, tag, query, cookie } = SECRETS
  const secrets: string[] = Object.values(SECRETS)
  const later = (seconds: number): Date => new Date(clock.now() + seconds * 1000)
  const identity = { subject: 'ann', session, credential, tags: [tag], claims: { name: 'Ann' } }
  const ann = world.meet(token, { ...identity, expiresAt: later(3600) })
  const origin = `http://127.0.0.1:${world.listening.port}`
  const headers = { Origin: origin, Cookie: `sid=${cookie}` }

  const { ws } = await world.dial(token, `/live?access_token=${query}`, headers)
  await world.dial('nobody', `/live?access_token=${query}`, headers)
  await abandon(world)
  secrets.push(...(await useTickets(world)))
  await world.post(token, '/live/renew')
  const byMessage = await openByMessage(world)
  await byMessage.send(token)
  await byMessage.send(token)
  for (const connection of gate.connections) secrets.push(connection.token)

  const broken = heard(gate, 'ended')
  await world.dial(token, '/live/broken')
  await broken
  ann.fails = new Error('the store is away')
  await world.dial(token)
  for (const isBack of [false, true]) {
    if (isBack) delete ann.fails
    const asked = heardTimes(gate, 'rechecked', gate.connections.size)
    clock.pass(60_000)
    await asked
  }
  const closed = once(ws, 'close')
  await gate.revoke({ session })
  await closed

  world.meet('bob-token', { subject: 'bob' })
  const ended = heard(gate, 'ended')
  const bob = await world.open('bob-token')
  bob.close()
  await ended
  for (const isCut of [true, false]) {
    world.isCut = isCut
    await world.until(() => gate.ready !== isCut)
  }
  return secrets
}

async function useTickets(world: World): Promise<string[]> {
  const { url, ticket } = (await (await world.post(SECRETS.token, '/live/ticket')).json()) as Record<string, string>
  if (url === undefined || ticket === undefined) throw new Error('There is no ticket.')
  await world.open('', url)
  await world.dial('', url)
  return [ticket]
}
