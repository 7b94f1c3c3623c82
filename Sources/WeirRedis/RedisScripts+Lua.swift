/// Parts of scripts, in Lua 5.1 with the libraries that Redis has (`struct`).
enum Lua {
  /// `done` remembers the number of the write for 30 days.
  static let head = """
    local at = 4
    local function take() local v = ARGV[at]; at = at + 1; return v end
    if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then return {'LOST'} end
    if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[3]) then return {'LOST'} end
    local values = tonumber(redis.call('HGET', KEYS[1], 'values') or '0')
    if redis.call('HLEN', KEYS[3]) ~= values or redis.call('ZCARD', KEYS[4]) ~= values then return {'LOST'} end
    local function done() redis.call('SET', KEYS[2], ARGV[2], 'EX', 2592000) end

    """

  static let put = """
    local function put(name, value)
      redis.call('HSET', KEYS[3], name, value)
      local new = redis.call('ZADD', KEYS[4], 0, name)
      if new > 0 then redis.call('HINCRBY', KEYS[1], 'values', new) end
    end

    """

  static let owners = """
    for _ = 1, tonumber(take()) do
      local name, owner = take(), take()
      if redis.call('HGET', KEYS[3], name) ~= owner then return {'FENCED', name} end
    end

    """

  /// Whether the fence that a row begins with is larger than a, b, c, d: generation and position, each as its upper and its lower half.
  static let larger = """
    local function larger(row, a, b, c, d)
      local e, f, g, h = struct.unpack('>i4I4i4I4', row)
      return e > a or e == a and (f > b or f == b and (g > c or g == c and h > d))
    end

    """

  /// `remains`: the key `store` was lost, and with it the names of tables, so rows of tables without a number may be there and do not count.
  static let open = """
    local format = redis.call('HGET', KEYS[1], 'format')
    if format and format ~= ARGV[2] then return {'FORMAT', format} end
    local old = redis.call('HGET', KEYS[1], 'incarnation')
    local values = tonumber(redis.call('HGET', KEYS[1], 'values') or '0')
    local whole = old and redis.call('HLEN', KEYS[2]) == values and redis.call('ZCARD', KEYS[3]) == values
    for t = 3, #ARGV do
      local n = tonumber(redis.call('HGET', KEYS[1], 'rows/' .. ARGV[t]) or '0')
      if redis.call('HLEN', KEYS[2 * t - 2]) ~= n or redis.call('ZCARD', KEYS[2 * t - 1]) ~= n then whole = false end
    end
    if whole then return {'OK', old} end
    local had = (old or redis.call('EXISTS', KEYS[2]) == 1) and '1' or '0'
    for _, key in ipairs(KEYS) do redis.call('UNLINK', key) end
    redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'format', ARGV[2])
    if not old and had == '1' then redis.call('HSET', KEYS[1], 'remains', '1') end
    return {'NEW', ARGV[1], had}
    """

  /// Numbers are compared as texts of digits: Lua's numbers are doubles.
  static let claim = """
    local function less(a, b)
      local x, y = tonumber(a), tonumber(b)
      if not x or not y then return false end
      if #a < 16 and #b < 16 or a:find('%D') or b:find('%D') then return x < y end
      a, b = a:gsub('^0+', ''), b:gsub('^0+', '')
      if #a ~= #b then return #a < #b end
      local i, j = tonumber(a:sub(1, 9)) or 0, tonumber(b:sub(1, 9)) or 0
      return i < j or i == j and (tonumber(a:sub(10)) or 0) < (tonumber(b:sub(10)) or 0)
    end
    local n = tonumber(take())
    for i = 0, n - 1 do
      local stored = redis.call('HGET', KEYS[3], 'number/' .. ARGV[at + 3 * i])
      if stored and less(ARGV[at + 3 * i + 2], stored) then return {'LATE', tostring(i)} end
    end
    for _ = 1, n do
      local name, owner, number = take(), take(), take()
      put(name, owner)
      put('number/' .. name, number)
    end
    done()
    return {'OK'}
    """

  /// Tables without a name are those that will be in the place of others: they go by themselves if that never happens.
  static let write = """
    local n = tonumber(take())
    local first = at
    at = at + 2 * n
    local tables = {}
    for t = 1, tonumber(take()) do
      local name, rows, keys = take(), KEYS[3 + 2 * t], KEYS[4 + 2 * t]
      tables[t] = name
      if name ~= '' then
        local count = redis.call('HGET', KEYS[1], 'rows/' .. name)
        if not count then
          redis.call('UNLINK', rows, keys)
          count = 0
        end
        if redis.call('HLEN', rows) ~= tonumber(count) or redis.call('ZCARD', keys) ~= tonumber(count) then return {'LOST'} end
      end
    end
    local skipped = 0
    for _ = 1, tonumber(take()) do
      local t, fence, n = tonumber(take()), take(), tonumber(take())
      local name, rows, keys = tables[t], KEYS[3 + 2 * t], KEYS[4 + 2 * t]
      local a, b, c, d = struct.unpack('>i4I4i4I4', fence)
      local fields = {}
      for i = 1, n do fields[i] = ARGV[at + 2 * i - 2] end
      local stored = redis.call('HMGET', rows, unpack(fields))
      local changed, new = {}, {}
      for i = 1, n do
        local old = stored[i]
        if old and #old < 19 then return {'CORRUPT', fields[i]} end
        if old and larger(old, a, b, c, d) then
          skipped = skipped + 1
        else
          changed[#changed + 1] = fields[i]
          changed[#changed + 1] = ARGV[at + 2 * i - 1]
          if not old then
            new[#new + 1] = '0'
            new[#new + 1] = fields[i]
          end
        end
      end
      at = at + 2 * n
      if #changed > 0 then redis.call('HSET', rows, unpack(changed)) end
      local added = 0
      if #new > 0 then added = redis.call('ZADD', keys, unpack(new)) end
      if name == '' then
        redis.call('EXPIRE', rows, 86400)
        redis.call('EXPIRE', keys, 86400)
      else
        redis.call('HINCRBY', KEYS[1], 'rows/' .. name, added)
      end
    end
    for i = 0, n - 1 do put(ARGV[first + 2 * i], ARGV[first + 2 * i + 1]) end
    done()
    return {'OK', tostring(skipped)}
    """

  static let retract = """
    local name, lane, fence = take(), take(), take()
    local a, b, c, d = struct.unpack('>i4I4i4I4', fence)
    local rows, keys = KEYS[5], KEYS[6]
    local gone = 0
    for _ = 1, tonumber(take()) do
      local key, has, row = take(), take(), take()
      local old = redis.call('HGET', rows, key)
      if old and larger(old, a, b, c, d) and old:sub(20, 19 + struct.unpack('>I2', old, 18)) == lane then
        if has == '1' then
          redis.call('HSET', rows, key, row)
        else
          redis.call('HDEL', rows, key)
          gone = gone + redis.call('ZREM', keys, key)
        end
      end
    end
    if gone > 0 then redis.call('HINCRBY', KEYS[1], 'rows/' .. name, -gone) end
    done()
    return {'OK'}
    """

  /// A replacement whose reply was lost is done when it is repeated.
  static let replace = """
    local id, n = take(), tonumber(take())
    if redis.call('HGET', KEYS[1], 'replacement') == id then
      done()
      return {'OK'}
    end
    local first = at
    at = at + 2 * n
    local tables = tonumber(take())
    for t = 1, tables do
      local new, has = redis.call('HLEN', KEYS[3 + 4 * t]), ARGV[at + 2 * t - 1]
      if redis.call('ZCARD', KEYS[4 + 4 * t]) ~= new or (has == '1') ~= (new > 0) then return {'LOST'} end
    end
    for t = 1, tables do
      local name = ARGV[at + 2 * t - 2]
      local rows, keys, newRows, newKeys = KEYS[1 + 4 * t], KEYS[2 + 4 * t], KEYS[3 + 4 * t], KEYS[4 + 4 * t]
      redis.call('UNLINK', rows, keys)
      local count = redis.call('HLEN', newRows)
      if count > 0 then
        redis.call('RENAME', newRows, rows)
        redis.call('RENAME', newKeys, keys)
        redis.call('PERSIST', rows)
        redis.call('PERSIST', keys)
      end
      redis.call('HSET', KEYS[1], 'rows/' .. name, count)
    end
    redis.call('HINCRBY', KEYS[1], 'replaced', 1)
    redis.call('HSET', KEYS[1], 'replacement', id)
    for i = 0, n - 1 do put(ARGV[first + 2 * i], ARGV[first + 2 * i + 1]) end
    done()
    return {'OK'}
    """

  /// Looks at 1,000 rows.
  static let collect = """
    local name, from = take(), take()
    local lanes = {}
    for _ = 1, tonumber(take()) do
      local lane, fence = take(), take()
      lanes[lane] = {struct.unpack('>i4I4i4I4', fence)}
    end
    local count = redis.call('HGET', KEYS[1], 'rows/' .. name)
    if not count then
      done()
      return {'OK', '0', false}
    end
    local rows, keys = KEYS[5], KEYS[6]
    if redis.call('HLEN', rows) ~= tonumber(count) or redis.call('ZCARD', keys) ~= tonumber(count) then return {'LOST'} end
    local some = redis.call('ZRANGEBYLEX', keys, from, '+', 'LIMIT', 0, 1000)
    local old = {}
    for _, key in ipairs(some) do
      local row = redis.call('HGET', rows, key)
      if not row or #row < 19 then return {'LOST'} end
      if row:byte(17) == 0 then
        local bound = lanes[row:sub(20, 19 + struct.unpack('>I2', row, 18))]
        if bound and not larger(row, bound[1], bound[2], bound[3], bound[4]) then old[#old + 1] = key end
      end
    end
    if #old > 0 then
      redis.call('HDEL', rows, unpack(old))
      redis.call('ZREM', keys, unpack(old))
      redis.call('HINCRBY', KEYS[1], 'rows/' .. name, -#old)
    end
    done()
    return {'OK', tostring(#old), #some == 1000 and some[1000] or false}
    """

  static let confirm = """
    done()
    return {'OK'}
    """
}

/// Those that only read: a replica runs them, too.
extension Lua {
  /// `NONE` where there is no store. Keys without the key `store` are what is left of one that was lost; so is a hash or an index of
  /// another length than `store` says.
  static let found = """
    local incarnation = redis.call('HGET', KEYS[1], 'incarnation')
    local function rows(name)
      local count = redis.call('HGET', KEYS[1], 'rows/' .. name)
      return count and tonumber(count) or redis.call('HGET', KEYS[1], 'remains') and -1 or 0
    end
    local function number(field) return tonumber(redis.call('HGET', KEYS[1], field) or '0') end
    if not incarnation then
      for i = 1, #KEYS do if redis.call('EXISTS', KEYS[i]) == 1 then return {'LOST'} end end
      return {'NONE'}
    end

    """

  static let value = """
    if redis.call('HLEN', KEYS[2]) ~= number('values') then return {'LOST'} end
    return {'OK', redis.call('HGET', KEYS[2], ARGV[1])}
    """

  static let values = """
    if redis.call('HLEN', KEYS[2]) ~= number('values') or redis.call('ZCARD', KEYS[3]) ~= number('values') then return {'LOST'} end
    local names = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], '+', 'LIMIT', 0, 1000)
    local out = {'OK', #names == 1000 and '1' or '0'}
    for _, name in ipairs(names) do
      if name:sub(1, #ARGV[1]) ~= ARGV[1] then
        out[2] = '0'
        return out
      end
      local value = redis.call('HGET', KEYS[2], name)
      if not value then return {'LOST'} end
      out[#out + 1] = name
      out[#out + 1] = value
    end
    return out
    """

  static let row = """
    local count = rows(ARGV[1])
    if count < 0 then return {'OK', false} end
    if redis.call('HLEN', KEYS[2]) ~= count then return {'LOST'} end
    return {'OK', redis.call('HGET', KEYS[2], ARGV[2])}
    """

  static let page = """
    local out = {'OK', incarnation .. '/' .. (redis.call('HGET', KEYS[1], 'replaced') or '0'), false}
    local count = rows(ARGV[1])
    if count < 0 then return out end
    if redis.call('HLEN', KEYS[2]) ~= count or redis.call('ZCARD', KEYS[3]) ~= count then return {'LOST'} end
    if count == 0 then return out end
    local prefix, from, all = ARGV[2], ARGV[3], ARGV[7] == '1'
    local rowsMax, looksMax, bytesMax = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
    local rows, looks, bytes, last = 0, 0, 0, ''
    while true do
      local some = redis.call('ZRANGEBYLEX', KEYS[3], from, '+', 'LIMIT', 0, math.min(128, rowsMax + 1))
      for _, key in ipairs(some) do
        if key:sub(1, #prefix) ~= prefix then return out end
        if rows == rowsMax or looks == looksMax or bytes >= bytesMax then
          out[3] = last
          return out
        end
        local row = redis.call('HGET', KEYS[2], key)
        if not row then return {'LOST'} end
        if all or row:byte(17) ~= 0 then
          out[#out + 1] = key
          out[#out + 1] = row
          rows = rows + 1
        end
        looks, bytes, last = looks + 1, bytes + #key + #row, key
      end
      if #some < math.min(128, rowsMax + 1) then return out end
      from = '(' .. last
    end
    """

  static let ahead = """
    local out = {'OK', false}
    local a, b, c, d = struct.unpack('>i4I4i4I4', ARGV[3])
    local keys = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, 1000)
    for _, key in ipairs(keys) do
      local row = redis.call('HGET', KEYS[1], key)
      if not row or #row < 19 then return {'LOST'} end
      if larger(row, a, b, c, d) and row:sub(20, 19 + struct.unpack('>I2', row, 18)) == ARGV[2] then out[#out + 1] = key end
    end
    if #keys == 1000 then out[2] = keys[1000] end
    return out
    """
}
