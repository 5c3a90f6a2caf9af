package redissessions

import (
	_ "embed" // the scripts

	"github.com/redis/go-redis/v9"
)

// The scripts, each one step in Redis. What their KEYS and ARGV are stands in them.
var (
	//go:embed lua/user.lua
	userLua string
	//go:embed lua/begin.lua
	beginLua string
	//go:embed lua/end.lua
	endLua string
	//go:embed lua/rotate.lua
	rotateLua string
	//go:embed lua/set_tokens.lua
	setTokensLua string
	//go:embed lua/touch.lua
	touchLua string
	//go:embed lua/heads.lua
	headsLua string
	//go:embed lua/reseal.lua
	resealLua string

	begin     = redis.NewScript(userLua + beginLua)
	end       = redis.NewScript(userLua + endLua)
	rotate    = redis.NewScript(userLua + rotateLua)
	setTokens = redis.NewScript(setTokensLua)
	touch     = redis.NewScript(touchLua)
	heads     = redis.NewScript(headsLua)
	reseal    = redis.NewScript(resealLua)
)
