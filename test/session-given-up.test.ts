import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { NotOurs } from '../src/session/fence.ts'
import { createNumber, type Stage, startStage } from './whatsapp.ts'

let stage: Stage
beforeAll(async () => {
  stage = await startStage()
})
afterAll(() => stage.close())

const sessionOf = (id: string) => {
  const session = stage.gateway.services.sessions.live.find(({ instance }) => instance.id === id)
  if (!session) throw new Error('It has no session')
  return session
}

test('a command that waits for its turn when the session is given up is for the next owner', async () => {
  const number = await createNumber(stage)
  await number.link()
  const session = sessionOf(number.instance.id)
  const first = session.disconnect()
  const second = session.connect(null)
  const third = session.logOut()
  expect(await session.leave()).toBe(true)
  await expect(first).rejects.toThrow(NotOurs)
  await expect(second).rejects.toThrow(NotOurs)
  await expect(third).rejects.toThrow(NotOurs)
  await expect(session.reconnect()).rejects.toThrow(NotOurs)

  // Its next owner is this node once more.
  await number.connect()
  await number.reaches('connected')
})

test('a session that is paused for a deletion of which nothing is heard any more is known by that', async () => {
  const number = await createNumber(stage)
  await number.link()
  const session = sessionOf(number.instance.id)
  await session.pause()
  expect(number.status().state).toBe('disconnected')
  expect(session.isPausedForLong).toBe(false)
  vi.useFakeTimers({ toFake: ['performance'], now: 0 })
  onTestFinished(() => void vi.useRealTimers())
  vi.advanceTimersByTime(1_000_000)
  const isForLong = session.isPausedForLong
  vi.useRealTimers()
  expect(isForLong).toBe(true)
  // What ends a doubt does not bring it back, what ends the pause does.
  session.goOn()
  expect(session.isRunning).toBe(false)
  session.resume()
  await number.reaches('connected')
})
