import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseResponse, valuesOf } from '../../support/response.ts'

const parse = (text: string, ended = false) => parseResponse(Buffer.from(text, 'latin1'), ended)

test('a response with a length is whole at its last byte, and what follows is the rest', () => {
  const text = 'HTTP/1.1 401 Unauthorized\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 3\r\n\r\nabc'
  assert.equal(parse(text.slice(0, -1)), undefined)
  const response = parse(`${text}more`)
  assert.deepEqual(
    [response?.status, response?.reason, response?.body.toString(), response?.rest.toString()],
    [401, 'Unauthorized', 'abc', 'more'],
  )
  assert.deepEqual(valuesOf(response?.headers ?? [], 'SET-COOKIE'), ['a=1', 'b=2'])
})

test('a chunked body is put together', () => {
  const head = 'HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n'
  assert.equal(parse(`${head}3\r\nabc\r\n`), undefined)
  assert.equal(parse(`${head}3\r\nabc\r\n`, true), undefined)
  const response = parse(`${head}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nrest`)
  assert.equal(response?.body.toString(), 'abc0123456789')
  assert.equal(response?.rest.toString(), 'rest')
})

test('a body without a length ends with the connection', () => {
  assert.equal(parse('HTTP/1.1 500 x\r\n\r\nabc'), undefined)
  assert.equal(parse('HTTP/1.1 500 x\r\n\r\nabc', true)?.body.toString(), 'abc')
})

test('a 101 has no body: frames that came with it are the rest', () => {
  const response = parse('HTTP/1.1 101 Switching Protocols\r\nContent-Length: 2\r\n\r\nframe')
  assert.deepEqual([response?.body.length, response?.rest.toString()], [0, 'frame'])
})

test('1xx responses before the response are counted apart', () => {
  const response = parse(
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  )
  assert.deepEqual([response?.status, response?.interim], [204, [100, 103]])
})

test('what is no HTTP throws', () => {
  assert.throws(() => parse('SSH-2.0\r\n\r\n'), /Not an HTTP response/)
  assert.throws(() => parse('HTTP/1.1 200 OK\r\nno colon\r\n\r\n'), /Not a header line/)
})
