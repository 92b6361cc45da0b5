import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FrameCutter, isControl, type Frame } from '../../../src/upgrade/frames.ts'
import { closeFrame, frame } from '../../support/frames.ts'

const MAX = 4096

function cutAll(chunks: readonly Buffer[], max = MAX): { frames: Frame[]; rest: Buffer } {
  const cutter = new FrameCutter(max)
  return { frames: chunks.flatMap((chunk) => cutter.cut(chunk)), rest: cutter.rest }
}

/** Cuts bytes at arbitrary places, empty pieces among them. */
function chunked(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

const places = fc.array(fc.nat(), { maxLength: 40 })
const frames = fc.array(
  fc.record({
    payload: fc.uint8Array({ maxLength: 300 }),
    opcode: fc.integer({ min: 0, max: 15 }),
    fin: fc.boolean(),
    rsv: fc.integer({ min: 0, max: 7 }),
    masked: fc.boolean(),
  }),
  { maxLength: 12 },
)

describe('FrameCutter', () => {
  it('gives out every frame as it came, and keeps what is left, in whatever pieces it comes', () => {
    fc.assert(
      fc.property(frames, fc.nat(20), places, (given, cut, where) => {
        const whole = given.map(({ payload, ...options }) => frame(payload, options))
        const half = frame('the last one is not whole').subarray(0, cut)
        const found = cutAll(chunked(Buffer.concat([...whole, half]), where))
        assert.deepEqual(
          found.frames.map(({ bytes }) => bytes.toString('hex')),
          whole.map((bytes) => bytes.toString('hex')),
        )
        assert.deepEqual(
          found.frames.map(({ opcode, final }) => ({ opcode, final })),
          given.map(({ opcode, fin }) => ({ opcode, final: fin })),
        )
        assert.equal(found.rest.toString('hex'), half.toString('hex'))
      }),
    )
  })

  it('loses, adds and reorders no byte of what is no WebSocket either', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 0, max: 200 }), places, (bytes, max, where) => {
        const all = Buffer.from(bytes)
        const found = cutAll(chunked(all, where), max)
        assert.deepEqual(Buffer.concat([...found.frames.map((one) => one.bytes), found.rest]), all)
      }),
    )
  })

  it('never keeps more than one frame of the size that it was told', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), places, (bytes, where) => {
        const cutter = new FrameCutter(100)
        for (const chunk of chunked(Buffer.from(bytes), where)) {
          cutter.cut(chunk)
          assert.ok(cutter.rest.length < 100 + 14, `${cutter.rest.length} bytes are kept`)
        }
      }),
    )
  })

  for (const length of [0, 125, 126, 127, 65_535, 65_536]) {
    it(`knows a payload of ${length} bytes from one byte less`, () => {
      const cutter = new FrameCutter(100_000)
      const bytes = frame(Buffer.alloc(length, 7))
      assert.deepEqual(cutter.cut(bytes.subarray(0, -1)), [])
      assert.equal(cutter.cut(bytes.subarray(-1))[0]?.bytes.length, bytes.length)
      assert.equal(cutter.rest.length, 0)
    })
  }

  for (const [name, bytes] of [
    ['2^53', frame('abc', { claimedLength: 2 ** 53 })],
    ['2^63', Buffer.from('81ff8000000000000000aabbccdd', 'hex')],
    ['one byte more than it may', frame(Buffer.alloc(3), { claimedLength: MAX + 15 })],
  ] as const) {
    it(`waits for nothing where a frame says ${name}, and cuts no more`, () => {
      const cutter = new FrameCutter(MAX)
      assert.equal(cutter.cut(bytes).length, 1)
      assert.equal(cutter.rest.length, 0)
      const more = frame('is no frame of its own')
      assert.deepEqual(
        cutter.cut(more).map((one) => one.bytes),
        [more],
      )
    })
  }

  it('tells control frames by their opcode', () => {
    assert.deepEqual(
      Array.from({ length: 16 }, (_, opcode) => isControl(opcode)),
      Array.from({ length: 16 }, (_, opcode) => opcode > 7),
    )
    assert.equal(cutAll([closeFrame(1000)]).frames[0]?.opcode, 8)
  })
})
