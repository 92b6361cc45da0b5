/** @param {string} id */
const byId = (id) => document.getElementById(id)
const log = byId('log')
const address = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/ws`

/** @type {WebSocket | undefined} */
let socket

/** Adds a line; text only, whatever it holds. */
function say(text, kind = '') {
  const item = document.createElement('li')
  const time = document.createElement('time')
  const now = new Date()
  time.dateTime = now.toISOString()
  time.textContent = now.toLocaleTimeString()
  const words = document.createElement('span')
  words.className = kind
  words.textContent = text
  item.append(time, words)
  log.append(item)
  byId('log-box').scrollTop = byId('log-box').scrollHeight
}

async function readAnswer(response) {
  const { error, message, fix } = await response.json().catch(() => ({}))
  return { error, message, fix }
}

// ------------------------------------------------------------------------------------------------------- session

async function showSession() {
  const response = await fetch('/me', { cache: 'no-store' })
  const user = response.ok ? await response.json() : undefined
  byId('session-state').textContent = user
    ? `Logged in as ${user.subject} (by ${user.by}). GET /me answers 200.`
    : `Not logged in. GET /me answers ${response.status}.`
  byId('login').hidden = user !== undefined
  byId('logout').hidden = user === undefined
  return user !== undefined
}

async function logIn(user, password) {
  const response = await fetch('/login', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ user, password }),
  })
  if (response.ok) {
    say(`You logged in as ${user}. The browser keeps a session cookie.`, 'good')
  } else {
    const { message, fix } = await readAnswer(response)
    say(`The login was refused with ${response.status}. ${message ?? ''} ${fix ?? ''}`, 'bad')
  }
  await showSession()
}

async function logOut() {
  await fetch('/logout', { method: 'POST' })
  say('You logged out. The server has forgotten the session.')
  await showSession()
}

// ----------------------------------------------------------------------------------------------------- WebSocket

function showSocket(isOpen, text) {
  byId('socket-state').textContent = text
  byId('connect').hidden = isOpen
  byId('disconnect').hidden = !isOpen
  byId('text').disabled = !isOpen
  byId('send-button').disabled = !isOpen
}

/** Settles when the WebSocket is open, or was refused and explained. */
function connect() {
  return new Promise((resolve) => {
    say(`Connecting to ${address}`)
    byId('connect').disabled = true
    const opening = new WebSocket(address)
    let wasOpen = false
    opening.addEventListener('open', () => {
      wasOpen = true
      socket = opening
      byId('connect').disabled = false
      showSocket(true, 'Connected.')
      say('The WebSocket is open: the middleware let the handshake in.', 'good')
      resolve()
    })
    opening.addEventListener('message', ({ data }) => say(`Received: ${data}`))
    opening.addEventListener('close', ({ code, reason }) => {
      byId('connect').disabled = false
      showSocket(false, 'Not connected.')
      if (!wasOpen) return resolve(explainRefusal(code))
      say(`The WebSocket was closed: code ${code}${reason === '' ? '' : `, "${reason}"`}.`)
    })
  })
}

/** A browser hides the answer to a refused handshake. The same request as a plain GET gets the same verdict, readable. */
async function explainRefusal(code) {
  say(`The WebSocket was refused. A page is told no more than code ${code}, whatever the reason.`, 'bad')
  const response = await fetch('/ws', { cache: 'no-store' }).catch(() => undefined)
  if (response === undefined) return say('The server cannot be reached at all.', 'bad')
  const { error, message, fix } = await readAnswer(response)
  say(
    `A plain GET of the same address is readable. It answers ${response.status} ${error ?? ''}: ${message ?? ''} ${fix ?? ''}`,
  )
}

function disconnect() {
  socket?.close(1000)
}

function send(text) {
  socket?.send(text)
  say(`Sent: ${text}`)
}

/** Waits for the next event of this name, or for the end of the connection. */
function next(name) {
  return new Promise((resolve) => {
    for (const event of [name, 'close']) socket?.addEventListener(event, resolve, { once: true })
  })
}

// ---------------------------------------------------------------------------------------------------------- tour

async function tour() {
  if (socket?.readyState === WebSocket.OPEN) {
    disconnect()
    await next('close')
  }
  if (await showSession()) await logOut()
  say('Step 1 of 3: connect without a session.')
  await connect()
  say('Step 2 of 3: log in, connect again, send a text.')
  await logIn('demo', 'demo')
  await connect()
  send('hello')
  await next('message')
  say('Step 3 of 3: log out. The server ends the sockets of this session; connecting is refused again.')
  const closed = next('close')
  await logOut()
  await closed
  await connect()
  say('That was all: one middleware said no, yes and no.')
}

/** Does what a person asked for; the button rests meanwhile, and nothing fails unseen. */
async function perform(button, task) {
  const hadFocus = document.activeElement === button
  button.disabled = true
  try {
    await task()
  } catch (error) {
    say(`The server cannot be reached (${error.message}).`, 'bad')
  }
  button.disabled = false
  // A disabled or hidden button drops the focus; whoever works by keyboard goes on where it was, or at what replaced it.
  if (!hadFocus || document.activeElement !== document.body) return
  const target = button.offsetParent === null ? byId(button.dataset.next) : button
  target.focus()
}

function on(id, event, task) {
  byId(id).addEventListener(event, (happening) => {
    happening.preventDefault()
    void perform(happening.submitter ?? happening.currentTarget, task)
  })
}

on('login', 'submit', () => logIn(byId('user').value, byId('password').value))
on('logout', 'submit', logOut)
on('connect', 'click', connect)
on('disconnect', 'click', disconnect)
on('tour', 'click', tour)
on('clear', 'click', () => log.replaceChildren())
byId('send').addEventListener('submit', (event) => {
  event.preventDefault()
  send(byId('text').value)
})

await showSession().catch(() => say('The server cannot be reached.', 'bad'))
