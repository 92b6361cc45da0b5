// Raw WebSocket and fetch, so that what is shown is what is sent. Every text from outside is written as text.
const server = new URL(new URLSearchParams(location.search).get('server') ?? '/', location.href)
const isOwn = server.origin === location.origin
const KEY = 'test_api_key'
/** Offered beside the real subprotocol: asks to be told of a refusal in a way that a page can read. */
const OFFERS = ['gate101', 'refusal.gate101']

const WHY = {
  app: 'The middleware refused: it would have answered 401 to a plain request as well.',
  invalid_ticket: 'A ticket is good for one handshake only, within 15 s.',
  ticket_mismatch: 'The ticket was made for another path or another page.',
  bad_auth_message: 'The first message was no auth message.',
  auth_timeout: 'No message came within five seconds.',
  too_many_attempts: 'Too many wrong passwords: wait a little.',
  too_many_tickets: 'Ten tickets wait already: use one, or wait until they have expired.',
}

/** Why an open WebSocket was closed, by the reason that its Close gives. */
const ENDS = {
  expired: 'the session was not used over HTTP in time.',
  max_age: 'it had become as old as a WebSocket may get here.',
  revoked: 'its session was logged out, or the password was changed.',
  unauthorized: 'the server has asked the middleware again, which would not let it in any more (401).',
  forbidden: 'the server has asked the middleware again, which lets this person in no more (403).',
  identity_changed: 'somebody else is logged in now.',
  replaced: 'another one has taken its place.',
  too_many_renewals: 'it was renewed too often.',
  recheck_failed: 'the server could not find out any more whether the session is good.',
  handler_failed: 'there is a fault in the server.',
  restart: 'the server stops or starts anew.',
}

/** What the buttons do, by their section. */
const ROADS = {
  life: {
    async login(wire, { password }) {
      leave()
      await logIn(wire, password)
      return live(wire)
    },
    connect: live,
    async renew(wire) {
      const { renewed } = await post(wire, '/ws/renew', {}, {})
      return { isOpen: true, why: `Renewed: ${count(renewed)} of this session.` }
    },
    async change(wire, { current, password }) {
      const { closed } = await post(wire, '/password', {}, { current, password })
      for (const field of document.querySelectorAll('[autocomplete=current-password]')) field.value = password
      return { isOpen: true, why: `The password is changed, and ${count(closed)} of other logins closed.` }
    },
    async logout(wire) {
      await post(wire, '/logout')
      await showSession()
      return { isOpen: true, why: 'You are logged out.' }
    },
  },
  cookie: {
    async good(wire) {
      if (isOwn) await logIn(wire, document.querySelector('#life [name=password]').value)
      else wire('·', 'a page of another origin cannot log in; it can try the cookie of an earlier login')
      return connect(wire, '/ws')
    },
    async bad(wire) {
      if (isOwn) {
        await post(wire, '/logout')
        await showSession()
      }
      return connect(wire, '/ws')
    },
  },
  ticket: {
    async good(wire) {
      const { url } = await getTicket(wire)
      return connect(wire, url)
    },
    async bad(wire) {
      const { url } = await getTicket(wire)
      const first = await connect(wire, url)
      return first.isOpen ? connect(wire, url) : first
    },
  },
  subprotocol: {
    async good(wire) {
      const { token } = await post(wire, '/token', { 'X-Api-Key': KEY })
      return connect(wire, '/ws', { offers: [OFFERS[0], itemOf(token), OFFERS[1]] })
    },
    bad: (wire) => connect(wire, '/ws', { offers: [OFFERS[0], itemOf('made-up'), OFFERS[1]] }),
  },
  message: {
    good: (wire, { username, password }) =>
      connect(wire, '/ws/login', { message: { type: 'auth', username, password } }),
    bad: (wire, { username }) => connect(wire, '/ws/login', { message: { type: 'auth', username, password: 'wrong' } }),
  },
}

const count = (number) => `${number} WebSocket${number === 1 ? '' : 's'}`

const itemOf = (token) => `base64url.bearer.authorization.gate101.${btoa(token).replaceAll('=', '')}`

// ------------------------------------------------------------------------------------------------------ the wire

/** A line of the wire view: `→` what the page sent, `←` what came back, `·` what the browser adds or does. */
function writer(list) {
  return (way, text) => {
    const item = document.createElement('li')
    const mark = document.createElement('b')
    mark.textContent = way
    mark.setAttribute('aria-label', { '→': 'sent', '←': 'received', '·': 'note' }[way])
    const words = document.createElement('code')
    words.textContent = shorten(text)
    item.classList.toggle('request', way === '→' && /^(?:GET|POST) /.test(text))
    item.append(mark, words)
    list.append(item)
  }
}

/** Tickets and tokens are shown by their beginning. */
function shorten(text) {
  return text
    .replaceAll(/(ticket=|"ticket": ?"|"token": ?"|authorization\.gate101\.)([\w-]{6})[\w-]+/g, '$1$2…')
    .replaceAll(/("(?:password|current)": ?")(?:[^"\\]|\\.)*/g, '$1…')
}

async function post(wire, path, headers = {}, body) {
  const sent = { ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers }
  wire('→', `POST ${path}`)
  showAdded(wire)
  for (const [name, value] of Object.entries(sent)) wire('→', `${name}: ${value}`)
  const text = body === undefined ? undefined : JSON.stringify(body)
  if (text !== undefined) wire('→', text)
  const init = { method: 'POST', headers: sent, body: text, cache: 'no-store' }
  const response = await fetch(new URL(path, server), init).catch(() => undefined)
  if (response === undefined) throw new Refused(await whyNoAnswer(wire))
  const answer = await response.json().catch(() => ({}))
  wire('←', `${response.status} ${JSON.stringify(answer)}`)
  if (!response.ok) throw new Refused(reasonOf(response.status, answer))
  return answer
}

const reasonOf = (status, { error, fix = '' }) => `${[status, error].join(' ').trim()}: ${WHY[error] ?? fix}`

class Refused extends Error {}

let isLoggedIn = false

/** What the browser adds by itself, as far as it matters here. A page cannot see it. */
function showAdded(wire) {
  wire('·', `the browser adds Origin: ${location.origin}`)
  if (isLoggedIn) wire('·', 'the browser adds Cookie: gate101.demo=…')
}

const NOBODY = 'The server does not answer. Is it running?'

/** A request that may not be read and one that reached nobody look the same to a page, until it asks blindly. */
async function whyNoAnswer(wire) {
  const blind = { mode: 'no-cors', cache: 'no-store' }
  const isThere = !isOwn && (await fetch(server, blind).catch(() => undefined)) !== undefined
  wire('·', isThere ? 'the browser does not let this page read the answer' : 'no answer')
  return isThere ? `This page is of another origin, ${location.origin}, which may not connect.` : NOBODY
}

const getTicket = (wire) => post(wire, '/ws/ticket', { 'X-Api-Key': KEY }, {})

async function logIn(wire, password) {
  await post(wire, '/login', {}, { user: 'demo', password })
  await showSession()
}

function shakeHands(wire, path, offers = OFFERS) {
  const url = new URL(path, server)
  url.protocol = url.protocol.replace('http', 'ws')
  wire('→', `GET ${url.pathname}${url.search}  (Upgrade: websocket)`)
  showAdded(wire)
  wire('→', `Sec-WebSocket-Protocol: ${offers.join(', ')}`)
  const socket = new WebSocket(url, offers)
  socket.addEventListener('open', () => {
    wire('←', `101, Sec-WebSocket-Protocol: ${socket.protocol}`)
    if (socket.protocol === 'refusal.gate101') wire('·', 'it is open only to say why it is not')
  })
  socket.addEventListener('message', ({ data }) => wire('←', data))
  socket.addEventListener('close', ({ code, reason }) => {
    if (code !== 1006) wire(code === 1000 ? '·' : '←', `Close ${code} ${reason}`.trim())
  })
  return socket
}

/** Why a handshake has led to nothing. */
function whyNot(wire, path, { code, reason }) {
  if (code === 1006) return probe(wire, path)
  return { isOpen: false, why: `${code} ${reason}: ${WHY[reason] ?? ''}` }
}

/**
 * One handshake, what is said after it, and its end.
 *
 * @returns whether it opened, and why not
 */
function connect(wire, path, { offers, message } = {}) {
  const socket = shakeHands(wire, path, offers)
  return new Promise((resolve) => {
    let outcome
    const say = (text) => {
      wire('→', text)
      socket.send(text)
    }
    socket.addEventListener('open', () => {
      if (socket.protocol !== 'refusal.gate101') say(message === undefined ? 'hello' : JSON.stringify(message))
    })
    socket.addEventListener('message', ({ data }) => {
      if (message !== undefined && outcome === undefined && !data.startsWith('{"type":"auth_ok"')) return
      if (message !== undefined && outcome === undefined) {
        outcome = { isOpen: true, why: 'The middleware let it in, and the same person may use it now.' }
        return say('hello')
      }
      outcome = { isOpen: true, why: 'The middleware let the handshake in; the text came back.' }
      socket.close(1000)
    })
    socket.addEventListener('close', (event) => resolve(outcome ?? whyNot(wire, path, event)))
  })
}

/** The browser hides the answer to a handshake. A plain GET of the same endpoint says why, to pages that may ask. */
async function probe(wire, path) {
  wire('·', 'Close 1006: no WebSocket, and the browser tells a page no more')
  const { pathname } = new URL(path, server)
  wire('→', `GET ${pathname}`)
  const response = await fetch(new URL(pathname, server), { cache: 'no-store', credentials: 'include' }).catch(
    () => undefined,
  )
  if (response === undefined) return { isOpen: false, why: await whyNoAnswer(wire) }
  const answer = await response.json().catch(() => ({}))
  wire('←', `${response.status} ${answer.error ?? ''}`)
  return { isOpen: false, why: reasonOf(response.status, answer) }
}

// ----------------------------------------------------------------------------------------------------- one life

/** The WebSocket that stays, and when it ends (milliseconds, by the clock of this page). */
let life
let endsAt

/** Opens it anew. It says by itself how long it has, at first and whenever that changes. */
function live(wire) {
  leave()
  const socket = shakeHands(wire, '/ws/life')
  life = socket
  return new Promise((resolve) => {
    let isOpen = false
    socket.addEventListener('message', ({ data }) => {
      if (socket !== life) return
      const { subject, expiresIn, node } = JSON.parse(data)
      isOpen = true
      endsAt = expiresIn === null ? undefined : Date.now() + expiresIn * 1000
      showState(`Open, for ${subject}${node === undefined ? '' : `, on ${node}`}.`, 'good')
      resolve({ isOpen, why: 'The middleware let the handshake in.' })
    })
    socket.addEventListener('close', (event) => {
      if (!isOpen) resolve(whyNot(wire, '/ws/life', event))
      else if (socket === life) showEnd(event)
    })
  })
}

function leave() {
  life?.close(1000)
  life = undefined
  endsAt = undefined
  showState('Not connected.')
}

function showEnd({ code, reason }) {
  endsAt = undefined
  const why =
    code === 1006 ? 'the connection broke, and no Close came.' : (ENDS[reason] ?? 'the server gives no reason.')
  showState(`Closed with ${code} ${reason}`.trim() + `: ${why}`, 'bad')
  void showSession()
}

function showState(text, how = '') {
  const state = document.getElementById('state')
  state.textContent = text
  state.className = how
  showTime()
}

function showTime() {
  const ends = document.getElementById('ends')
  const seconds = Math.ceil((endsAt - Date.now()) / 1000)
  const left = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  const at = new Date(endsAt).toLocaleTimeString()
  if (endsAt === undefined) ends.textContent = ''
  else if (seconds > 0) ends.textContent = `It ends in ${left}, at ${at}, unless the session is used over HTTP before.`
  else ends.textContent = 'Its time is over: the server asks the middleware once more.'
}

// ------------------------------------------------------------------------------------------------------ the page

async function showSession() {
  const init = { cache: 'no-store', credentials: 'include' }
  const response = await fetch(new URL('/me', server), init).catch(() => undefined)
  isLoggedIn = response?.ok === true
  const said = document.getElementById('session')
  if (response === undefined)
    said.textContent = isOwn ? NOBODY : `This page may not read what ${server.origin} answers.`
  else if (!isLoggedIn) said.textContent = `GET /me answers ${response.status}: you are not logged in.`
  else said.textContent = `GET /me answers 200: you are logged in as ${(await response.json()).subject}.`
}

/** Does what a person asked for; the button rests meanwhile, and nothing fails unseen. */
async function perform(road, which, button) {
  const section = document.getElementById(road)
  const output = section.querySelector('output')
  const list = section.querySelector('.wire')
  list.replaceChildren()
  const wire = writer(list)
  const fields = Object.fromEntries(new FormData(button.form ?? undefined))
  output.className = ''
  output.textContent = 'Asking…'
  button.ariaDisabled = 'true'
  const { isOpen, why } = await ROADS[road][which](wire, fields).catch((error) => {
    if (!(error instanceof Refused)) reportError(error)
    return { isOpen: false, why: error.message }
  })
  output.className = isOpen ? 'good' : 'bad'
  const word = isOpen ? 'Accepted' : why === NOBODY ? 'Not connected' : 'Refused'
  output.textContent = `${word}. ${why}`
  button.ariaDisabled = null
}

for (const road of Object.keys(ROADS)) {
  for (const button of document.querySelectorAll(`#${road} [data-try]`)) {
    button.addEventListener('click', (event) => {
      if (button.type === 'submit' && !button.form.reportValidity()) return
      event.preventDefault()
      if (button.ariaDisabled !== 'true') void perform(road, button.dataset.try, button)
    })
  }
}

document.querySelector('#header pre').textContent = [
  `npx gate101 dial ws://${server.host}/ws -H 'X-Api-Key: ${KEY}' --send hello`,
  `npx gate101 dial ws://${server.host}/ws   # 401, and what to send`,
  `curl -i -H 'X-Api-Key: ${KEY}' ${server.origin}/ws   # 426: it would be let in`,
  '',
  '// Go, gorilla/websocket',
  `header := http.Header{"X-Api-Key": {"${KEY}"}}`,
  `conn, response, err := websocket.DefaultDialer.Dial("ws://${server.host}/ws", header)`,
].join('\n')
document.querySelector('#origin pre').textContent =
  `new WebSocket('ws://${server.host}/ws').onclose = ({ code }) => console.log(code)   // 1006`

setInterval(showTime, 1000)
await showSession()
if (isLoggedIn) await live(writer(document.querySelector('#life .wire')))
