/**
 * Lua: takes places in a sliding log in one step, or none. A log is a list of `stamp:total`, where `total` counts all places
 * since the log began; its first entry is the last one that has left the window, so that what is taken is the difference
 * of the last and the first. Entries of one millisecond are one, which bounds a log whatever the limit.
 *
 * KEYS: the log. ARGV: limit, places, window in microseconds.
 * Returns: granted (1 or 0), remaining, microseconds until the next place is free, until all that was asked for would
 * be, and the time since 1970 by Redis's clock.
 */
export const RESERVE_PLACES = `
local log, limit, places, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function parse(text)
  local stamp, total = string.match(text, '^(%d+):(%d+)$')
  return { stamp = tonumber(stamp), total = tonumber(total) }
end
local function entry(index)
  local text = redis.call('LINDEX', log, index)
  return text and parse(text)
end
local function untilExpiry(taken)
  return taken.stamp + window - now
end

local last = entry(-1)
-- Redis's clock was set back by more than the window: such a log would never empty.
if last and untilExpiry(last) > 2 * window then
  redis.call('DEL', log)
  last = nil
end

local base = 0
if last then
  local oldest = entry(1)
  while oldest and untilExpiry(oldest) <= 0 do
    redis.call('LPOP', log)
    oldest = entry(1)
  end
  base = entry(0).total
end
local used = last and last.total - base or 0

local granted = used + places <= limit
if granted then
  local stamp = math.max(now, last and last.stamp or 0)
  if not last then
    redis.call('RPUSH', log, '0:0')
  elseif used > 0 and math.floor(last.stamp / 1000) == math.floor(stamp / 1000) then
    redis.call('RPOP', log)
  end
  used = used + places
  redis.call('RPUSH', log, string.format('%.0f:%.0f', stamp, base + used))
  redis.call('PEXPIRE', log, math.ceil(window / 1000) + 1000)
end

local oldest = entry(1)
local retryAfter = granted and 0 or window
if not granted then
  for _, text in ipairs(redis.call('LRANGE', log, 1, places)) do
    local taken = parse(text)
    if taken.total >= base + used + places - limit then
      retryAfter = untilExpiry(taken)
      break
    end
  end
end
return { granted and 1 or 0, math.max(0, limit - used), oldest and untilExpiry(oldest) or window, retryAfter, now }
`
