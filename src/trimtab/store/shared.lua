-- Counters of limits and budgets, shared by processes. One call is one step: nobody sees half of it.
-- Times are microseconds since 1970, sent by the caller: they fit a double exactly, nanoseconds would not.
-- KEYS: one for each demand. A purse is a hash KEY {spent, reserved, version} with KEY:held (hold -> time, sorted) and
-- KEY:amounts (hold -> amount); a bucket is a hash KEY {used, at}; places are a sorted set KEY (hold -> time).

local command, hold, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local MINUTE = 60 * 1000 * 1000
-- What has no end of its own is forgotten after this many seconds of quiet.
local QUIET = 3600

local function number(key, field)
  return tonumber(redis.call('HGET', key, field) or '0')
end

local function expire_purse(key)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', key .. ':held', '-inf', now)) do
    local amount = redis.call('HGET', key .. ':amounts', gone) or '0'
    redis.call('ZREM', key .. ':held', gone)
    redis.call('HDEL', key .. ':amounts', gone)
    redis.call('HINCRBY', key, 'reserved', '-' .. amount)
    redis.call('HINCRBY', key, 'version', 1)
  end
end

local function unreserve(key)
  local member, amount = hold, redis.call('HGET', key .. ':amounts', hold)
  local own = hold:match('[^.]*$')
  if not amount and own ~= '' then
    -- Somebody else may have taken it: then another mark stands before the name of the hold.
    for _, other in ipairs(redis.call('HKEYS', key .. ':amounts')) do
      if other:sub(-#own - 1) == '.' .. own then
        member, amount = other, redis.call('HGET', key .. ':amounts', other)
        break
      end
    end
  end
  if amount then
    redis.call('ZREM', key .. ':held', member)
    redis.call('HDEL', key .. ':amounts', member)
    redis.call('HINCRBY', key, 'reserved', '-' .. amount)
  end
end

local function keep_purse(key, ends)
  local seconds = math.max(QUIET, math.ceil((ends - now) / 1e6) + QUIET)
  for _, suffix in ipairs({'', ':held', ':amounts'}) do
    redis.call('EXPIRE', key .. suffix, seconds)
  end
end

local function bucket(key, limit)
  local at = redis.call('HGET', key, 'at')
  if not at then return 0 end
  local flowed = math.max(0, now - tonumber(at)) * limit / MINUTE
  return math.max(0, number(key, 'used') - flowed)
end

local function put_bucket(key, used)
  local at = math.max(now, number(key, 'at'))
  redis.call('HSET', key, 'used', string.format('%.9f', used), 'at', string.format('%.0f', at))
  redis.call('EXPIRE', key, QUIET)
end

-- kind, limit, amount, ends of each demand, after the first arguments
local function demand(n, first)
  local i = first + (n - 1) * 4
  return ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
end

-- used, reserved, wait in microseconds, and whether it is seeded
local function level(n)
  local key = KEYS[n]
  local kind, limit, amount, ends = demand(n, 5)
  if kind == 'rate' then
    local used = bucket(key, limit)
    local over = used + math.min(amount, limit) - limit
    local wait = 0
    if over > 1e-6 then wait = math.ceil(over * MINUTE / limit) end
    return math.max(0, math.ceil(used - 1e-6)), 0, wait, 1
  end
  if kind == 'lease' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    local used = redis.call('ZCARD', key)
    local wait = 0
    if used >= limit then wait = 1000000 end
    return used, 0, wait, 1
  end
  expire_purse(key)
  local said = redis.call('HGET', key, 'spent')
  if not said then return 0, 0, 0, 0 end
  local spent, reserved = tonumber(said), number(key, 'reserved')
  local wait = 0
  if spent + reserved + amount > limit and not (reserved == 0 and spent < limit) then
    wait = 1000000
    if spent >= limit then wait = math.max(wait, ends - now) end
  end
  return spent, reserved, wait, 1
end

if command == 'acquire' then
  local until_us = tonumber(ARGV[4])
  local out = {0}
  for n = 1, #KEYS do
    local used, reserved, wait, seeded = level(n)
    for _, value in ipairs({used, reserved, wait, seeded}) do
      out[#out + 1] = string.format('%.0f', value)
    end
    if seeded == 0 or wait > 0 then
      out[1] = n
      return out
    end
  end
  for n = 1, #KEYS do
    local key = KEYS[n]
    local kind, limit, amount, ends = demand(n, 5)
    if kind == 'rate' then
      put_bucket(key, bucket(key, limit) + math.min(amount, limit))
    elseif kind == 'lease' then
      redis.call('ZADD', key, until_us, hold)
      redis.call('EXPIRE', key, math.max(QUIET, math.ceil((until_us - now) / 1e6)))
    elseif redis.call('HEXISTS', key .. ':amounts', hold) == 0 then
      redis.call('ZADD', key .. ':held', until_us, hold)
      redis.call('HSET', key .. ':amounts', hold, string.format('%.0f', amount))
      redis.call('HINCRBY', key, 'reserved', string.format('%.0f', amount))
      redis.call('HINCRBY', key, 'version', 1)
      keep_purse(key, ends)
    end
  end
  return out
end

if command == 'settle' then
  -- the place of the amount holds the correction (rate), or what was spent (money)
  for n = 1, #KEYS do
    local key = KEYS[n]
    local kind, limit, amount, ends = demand(n, 4)
    if kind == 'lease' then
      redis.call('ZREM', key, hold)
    elseif kind == 'rate' then
      if amount ~= 0 and redis.call('EXISTS', key) == 1 then
        put_bucket(key, math.max(0, bucket(key, limit) + amount))
      end
    else
      unreserve(key)
      redis.call('HINCRBY', key, 'version', 1)
      if redis.call('HEXISTS', key, 'spent') == 1 then
        redis.call('HINCRBY', key, 'spent', string.format('%.0f', amount))
      end
      keep_purse(key, ends)
    end
  end
  return 1
end

if command == 'seed' then
  redis.call('HSETNX', KEYS[1], 'spent', ARGV[4])
  redis.call('HINCRBY', KEYS[1], 'version', 1)
  keep_purse(KEYS[1], tonumber(ARGV[5]))
  return 1
end

if command == 'clean' then
  -- What earlier lives of the caller's own processes hold: nobody will give it back.
  local node, alive = ARGV[4], ARGV[5]
  local function stale(member)
    return member:sub(1, #node) == node and member:sub(1, #alive) ~= alive
  end
  for n = 1, #KEYS do
    local key = KEYS[n]
    if redis.call('TYPE', key).ok == 'zset' then
      for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        if stale(member) then redis.call('ZREM', key, member) end
      end
    end
    for _, member in ipairs(redis.call('ZRANGE', key .. ':held', 0, -1)) do
      if stale(member) then
        local amount = redis.call('HGET', key .. ':amounts', member) or '0'
        redis.call('ZREM', key .. ':held', member)
        redis.call('HDEL', key .. ':amounts', member)
        redis.call('HINCRBY', key, 'reserved', '-' .. amount)
        redis.call('HINCRBY', key, 'version', 1)
      end
    end
  end
  return 1
end

if command == 'look' then
  expire_purse(KEYS[1])
  local spent = redis.call('HGET', KEYS[1], 'spent') or ''
  return {spent, redis.call('HGET', KEYS[1], 'reserved') or '0', redis.call('HGET', KEYS[1], 'version') or '0'}
end

if command == 'recount' then
  if redis.call('ZCARD', KEYS[1] .. ':held') > 0 or number(KEYS[1], 'version') ~= tonumber(ARGV[4]) then
    return 0
  end
  redis.call('HSET', KEYS[1], 'spent', ARGV[5])
  return 1
end

return redis.error_reply('no such command: ' .. command)
