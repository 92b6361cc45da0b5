import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkTarget, createPathMatch, foldPath, pathOf } from '../../../src/handshake/target.ts'

describe('checkTarget (P1)', () => {
  const canonical = [
    '/',
    '/ws',
    '/WS',
    '/ws/',
    '/a/b-c_d.e~f',
    '/ws?',
    '/ws??x',
    '/ws?/../',
    '/ws?path=/public',
    '/a%20b',
    '/caf%C3%A9',
    '/a@b:c',
    '/ws?a=%zz',
    '/ws?a[]=1',
    '/...',
    '/.well-known',
  ]
  for (const target of canonical) it(`lets ${target} pass`, () => assert.equal(checkTarget(target), undefined))

  const refused = [
    '',
    '*',
    'ws',
    '//',
    '///',
    '//[',
    '//a:99999/',
    '/\\',
    '/\\ws',
    '//ws',
    '//evil/ws',
    '/a//b',
    '/x/../ws',
    '/./ws',
    '/..',
    '/.',
    '/ws/.',
    '/x/%2e%2e/ws',
    '/%2E/ws',
    '/%77s',
    '/%7Eme',
    '/ws%2f',
    '/ws%5C',
    '/ws%00',
    '/ws%0a',
    '/ws%7f',
    '/ws;a=b',
    '/ws#x',
    '/ws%zz',
    '/%',
    '/%E0%A4%A',
    '/%ff',
    '/%2577s%',
    'http://127.0.0.1:9/ws',
    'ws://h/ws',
    'https:///ws',
    '/ws?a#b',
    '/ws?a b',
    '/ws?\u00e9',
    '/caf\u00e9',
    '/w s',
    '/{ws}',
    '/ws"',
    '/<ws>',
    '/ws|',
    '/ws^',
    '/`',
  ]
  for (const target of refused)
    it(`refuses ${JSON.stringify(target)}`, () => assert.equal(checkTarget(target)?.code, 'bad_target'))

  it('refuses more than 4096 bytes', () => {
    assert.equal(checkTarget(`/${'a'.repeat(4095)}`), undefined)
    assert.equal(checkTarget(`/${'a'.repeat(4096)}`)?.code, 'target_too_long')
  })

  it('a target that passes means the same path to a URL parser', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^\/[!-~]{0,24}$/), (target) => {
        if (checkTarget(target) !== undefined) return
        assert.equal(new URL(target, 'http://h').pathname, pathOf(target))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('createPathMatch', () => {
  const match = createPathMatch(['/ws', '/rooms/*'])
  const held = [
    '/ws',
    '/ws?x=1',
    '/WS',
    '/ws/',
    '/ws;a',
    '/%77s',
    '/x/../ws',
    '/./ws',
    '//evil/ws',
    '//',
    '//[',
    '/\\',
    '/\\ws',
    'http://evil/ws',
    'http://evil/other',
    '*',
    '/rooms',
    '/rooms/1',
    '/ROOMS/1/2',
    '/rooms/%2e%2e/rooms/1',
    '/x/%2e%2e/ws',
    '/ws#x',
    '/w%73',
    // Under the prefix for whoever compares the beginning; elsewhere for whoever resolves the dots.
    '/rooms/../other',
    '/rooms/..',
    // Under another path for whoever drops the empty segment first.
    '/ws//..',
    '/ws/;/..',
    '/rooms/%2e%2e/other',
    '/rooms/..%2fother',
    '/rooms/..;x/other',
    '/rooms//../../other',
    '/ROOMS/..\\other',
  ]
  for (const target of held) it(`holds ${target}`, () => assert.equal(match(target), true))

  const left = ['/', '/other', '/wss', '/ws2', '/a/ws', '/roomsx', '/?token=/ws', '/vite-hmr?token=1']
  for (const target of left) it(`leaves ${target} to others`, () => assert.equal(match(target), false))

  it('holds every target without paths', () => assert.equal(createPathMatch(undefined)('/any'), true))

  it('throws for what is no path', () => {
    for (const paths of [[], ['ws'], ['/ws?x'], ['/a/*/b'], ['/x/../ws'], [''], [1], '/ws']) {
      assert.throws(() => createPathMatch(paths as string[]), { code: 'GATE101_CONFIG' }, JSON.stringify(paths))
    }
  })

  it('never throws, and holds whatever folds to a held path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (target) => {
        if (foldPath(target) === '/ws') assert.equal(match(target), true)
        match(target)
      }),
      { numRuns: 2000 },
    )
  })
})
