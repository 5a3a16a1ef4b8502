package org.sightline.vla.policy.rest;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import org.sightline.vla.data.image.RgbImage;

/**
 * A policy at {@code POST /act}, for the clients of OpenVLA's {@code deploy.py}: {@code {"image":
 * uint8 [h,w,3], "instruction": "…"}}, arrays as json-numpy writes them, or that object as the
 * string {@code "encoded"} of another, whose answer then is a string too. What is wrong with a
 * request is answered with code 400 and the reason. One request is computed at a time.
 */
public final class PolicyServer implements AutoCloseable {
  /** Of a request: an image of 1024 pixels a side in base 64, and some. */
  private static final int MOST_BYTES = 8 << 20;

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
      } catch (IllegalArgumentException e) {
        answer(exchange, 400, new JsonPrimitive(e.getMessage()));
      } catch (RuntimeException e) {
        answer(exchange, 500, new JsonPrimitive(String.valueOf(e.getMessage())));
        throw e;
      }
    }
  }

  private synchronized JsonElement act(String body) {
    JsonObject request = object(NumpyJson.parse("request", body));
    boolean encoded = request.has("encoded");
    if (encoded) {
      request = object(NumpyJson.parse("encoded", text(request, "encoded")));
    }
    RgbImage image = NumpyJson.image(request.get("image"));
    JsonElement action = NumpyJson.of(policy.act(image, text(request, "instruction")));
    return encoded ? new JsonPrimitive(action.toString()) : action;
  }

  private static JsonObject object(JsonElement element) {
    if (element instanceof JsonObject object) {
      return object;
    }
    throw new IllegalArgumentException("request must be an object, found " + element);
  }

  private static String text(JsonObject request, String key) {
    if (request.get(key) instanceof JsonPrimitive value && value.isString()) {
      return value.getAsString();
    }
    throw new IllegalArgumentException(key + " must be a string, found " + request.get(key));
  }

  private static void answer(HttpExchange exchange, int code, JsonElement value)
      throws IOException {
    byte[] bytes = value.toString().getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(code, bytes.length);
    exchange.getResponseBody().write(bytes);
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
