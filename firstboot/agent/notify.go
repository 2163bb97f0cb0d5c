package agent

import (
	"net"
	"os"
	"time"
)

// notifier tells systemd (sd_notify(3)) that the daemon lives and how far it
// is: when that changed, and once in a tick, for each time costs systemd as
// much as the daemon. It is ready as soon as it runs: the boot waits for
// nothing here.
type notifier struct {
	text string
	at   time.Time
}

func (n *notifier) tell(summary string) {
	if summary == n.text && time.Since(n.at) < tick {
		return
	}
	*n = notifier{summary, time.Now()}
	notify("READY=1\nWATCHDOG=1\nSTATUS=" + summary + "\n")
}

// notAsleep tells the watchdog, in the middle of something long.
func (n *notifier) notAsleep() { notify("WATCHDOG=1\n") }

func notify(text string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	c.Write([]byte(text))
}

func summary(s Status) string {
	for _, x := range s.Stages {
		if x.State != Done {
			return x.Name + ": " + string(x.State)
		}
	}
	return "in mesh " + s.Network
}
