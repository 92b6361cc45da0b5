import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** A signal is on its way for a moment: returns when no thread of the process runs any more, where Linux tells. */
export function waitUntilStopped(pid: number | undefined): void {
  const tasks = `/proc/${pid}/task`
  while (existsSync(tasks) && readdirSync(tasks).some((task) => !isStopped(`${tasks}/${task}/stat`)));
}

/** A thread that has ended meanwhile does not run either. */
function isStopped(path: string): boolean {
  try {
    const stat = readFileSync(path, 'latin1')
    return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return true
  }
}
