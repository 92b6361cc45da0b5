/** Microseconds of CPU, of all threads, that the work takes for each of `count`. */
export async function cpuOf(count, work) {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}
