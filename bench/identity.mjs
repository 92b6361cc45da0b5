// Every connection has an identity and an expiry of its own, as in a real app.
const HOUR = 3_600_000
let users = 0

export const identify = () => ({ subject: `user-${users++}`, expiresAt: new Date(Date.now() + HOUR) })
