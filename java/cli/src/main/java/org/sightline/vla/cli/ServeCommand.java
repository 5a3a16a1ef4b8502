package org.sightline.vla.cli;

import java.io.PrintWriter;
import java.net.InetSocketAddress;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.sightline.Checks;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.policy.rest.PolicyServer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline serve}: a policy behind {@code POST /act}. */
@Command(
    name = "serve",
    description = {
      "Serve a policy at POST /act, for the clients of OpenVLA's deploy.py, until interrupted.",
      "Whoever can reach the address can use it: there is no password."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class ServeCommand implements Callable<Integer> {
  private static final int POLL_MILLISECONDS = 100;

  @Spec private CommandSpec spec;

  @Option(
      names = "--host",
      defaultValue = "127.0.0.1",
      description = "Address to listen at; 0.0.0.0: all of this machine.")
  private String host;

  @Option(names = "--port", defaultValue = "8000", description = "0: any that is free.")
  private int port;

  @Mixin private PolicyOptions policy;

  @Override
  public Integer call() throws Exception {
    Checks.index("--port", port, 65535);
    InetSocketAddress address = new InetSocketAddress(host, port);
    if (address.isUnresolved()) {
      throw new IllegalArgumentException(
          "--host must be an address of this machine, found " + host);
    }
    policy.builder().requireThere();
    try (Policy loaded = policy.builder().load();
        PolicyServer server =
            new PolicyServer((image, text) -> loaded.act(image, text).values(), address)) {
      PrintWriter out = spec.commandLine().getOut();
      out.printf(
          Locale.ROOT,
          "listening at http://%s:%d/act%n",
          server.address().getHostString(),
          server.address().getPort());
      out.flush();
      while (true) {
        Ending.check();
        Thread.sleep(POLL_MILLISECONDS);
      }
    }
  }
}
