package org.sightline.vla.policy.rest;

import com.google.gson.JsonElement;
import com.google.gson.JsonPrimitive;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.data.image.RgbImage;

/**
 * A policy at {@code POST /act}, for the clients of OpenVLA's {@code deploy.py}: {@code {"image":
 * uint8 [h,w,3], "instruction": "…"}}, arrays as json-numpy writes them, or that object as the
 * string {@code "encoded"} of another, whose answer then is a string too. What is wrong with a
 * request is answered with code 400 and the reason. One request is computed at a time.
 *
 * <p>It has neither passwords nor TLS: it is for the loopback address, or for a network whose
 * machines are trusted not to use up its time.
 */
public final class PolicyServer implements AutoCloseable {
  /** Of a request: an image of 1024 pixels a side in base 64, and some. */
  private static final int MOST_BYTES = 8 << 20;

  private static final Path REQUEST = Path.of("request");

  /** What is served. */
  @FunctionalInterface
  public interface Acts {
    /**
     * 7 values for what a camera sees.
     *
     * @throws IllegalArgumentException if the request is at fault
     */
    float[] act(RgbImage image, String instruction);
  }

  private final Acts policy;
  private final HttpServer server;
  private boolean closed;

  /** A client that sends slowly keeps nobody waiting but itself. */
  private final ExecutorService connections =
      Executors.newCachedThreadPool(
          work -> {
            Thread thread = new Thread(work, "policy server");
            thread.setDaemon(true);
            return thread;
          });

  /**
   * Starts to serve, until it is closed.
   *
   * @param policy that acts, such as {@code (image, text) -> policy.act(image, text).values()}
   * @param address its port 0: any that is free
   */
  public PolicyServer(Acts policy, InetSocketAddress address) throws IOException {
    this.policy = policy;
    server = HttpServer.create(address, 0);
    server.createContext("/act", this::handle);
    server.setExecutor(connections);
    server.start();
  }

  /** Where it listens. */
  public InetSocketAddress address() {
    return server.getAddress();
  }

  private void handle(HttpExchange exchange) throws IOException {
    try (exchange) {
      if (!exchange.getRequestMethod().equals("POST")) {
        answer(exchange, 405, new JsonPrimitive("POST an image and an instruction"));
        return;
      }
      byte[] body = exchange.getRequestBody().readNBytes(MOST_BYTES + 1);
      if (body.length > MOST_BYTES) {
        answer(exchange, 413, new JsonPrimitive("at most " + MOST_BYTES + " bytes"));
        return;
      }
      try {
        answer(exchange, 200, act(new String(body, StandardCharsets.UTF_8)));
      } catch (FormatException | IllegalArgumentException e) {
        answer(exchange, 400, new JsonPrimitive(String.valueOf(e.getMessage())));
      } catch (RuntimeException e) {
        answer(exchange, 500, new JsonPrimitive(String.valueOf(e.getMessage())));
        throw e;
      }
    }
  }

  private synchronized JsonElement act(String body) throws FormatException {
    if (closed) {
      throw new IllegalStateException("the server is closed");
    }
    JsonFields request = JsonFields.of(REQUEST, "", body);
    boolean encoded = request.has("encoded");
    if (encoded) {
      request = JsonFields.of(REQUEST, "encoded", request.text("encoded"));
    }
    RgbImage image = NumpyJson.image(request);
    JsonElement action = NumpyJson.of(policy.act(image, request.text("instruction")));
    return encoded ? new JsonPrimitive(action.toString()) : action;
  }

  private static void answer(HttpExchange exchange, int code, JsonElement value)
      throws IOException {
    byte[] bytes = value.toString().getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(code, bytes.length);
    exchange.getResponseBody().write(bytes);
  }

  /** Waits for the request that is being computed: its policy may be closed afterwards. */
  @Override
  public void close() {
    server.stop(0);
    connections.shutdown();
    synchronized (this) {
      closed = true;
    }
  }
}
