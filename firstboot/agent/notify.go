package agent

import (
	"net"
	"os"
)

// notify tells systemd (sd_notify(3)) that the daemon lives and how far it
// is. It is ready as soon as it runs: the boot waits for nothing here.
func notify(s Status) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	text := "READY=1\nWATCHDOG=1\nSTATUS=" + summary(s) + "\n"
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
