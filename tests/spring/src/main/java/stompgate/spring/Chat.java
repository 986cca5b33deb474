package stompgate.spring;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Principal;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.event.EventListener;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.handler.annotation.DestinationVariable;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.Payload;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.user.SimpUserRegistry;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import org.springframework.web.util.UriComponentsBuilder;

/**
 * An application as Spring's manual describes it, with an external broker. Each argument starts one server of it in this
 * process, with that name; the broker's place and the passwords are in the environment. Standard output tells what the
 * tests wait for: "NAME port PORT", "NAME broker true".
 */
@SpringBootApplication
public class Chat {
  static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  public static void main(String[] names) {
    for (String name : names) {
      var context =
          new SpringApplicationBuilder(Chat.class)
              .web(WebApplicationType.SERVLET)
              .properties(
                  "server.port=0",
                  "server.address=127.0.0.1",
                  "chat.server=" + name,
                  "spring.main.banner-mode=off",
                  "spring.jmx.enabled=false",
                  "logging.level.root=WARN")
              .run();
      OUT.println(name + " port " + context.getEnvironment().getProperty("local.server.port"));
    }
  }

  /** Where the broker is, and which destinations are its own. */
  @Configuration
  @EnableWebSocketMessageBroker
  static class Broker implements WebSocketMessageBrokerConfigurer {
    @Value("${BROKER_PORT}")
    int port;

    @Value("${BROKER_LOGIN}")
    String login;

    @Value("${BROKER_PASSCODE}")
    String passcode;

    @Value("${BROKER_BEAT_MS}")
    long beatMs;

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
      registry.setApplicationDestinationPrefixes("/app");
      registry
          .enableStompBrokerRelay("/topic", "/queue")
          .setRelayHost("127.0.0.1")
          .setRelayPort(port)
          .setSystemLogin(login)
          .setSystemPasscode(passcode)
          .setClientLogin(login)
          .setClientPasscode(passcode)
          .setSystemHeartbeatSendInterval(beatMs)
          .setSystemHeartbeatReceiveInterval(beatMs)
          .setUserDestinationBroadcast("/topic/unresolved-user")
          .setUserRegistryBroadcast("/topic/simp-user-registry");
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
      registry.addEndpoint("/ws").setAllowedOriginPatterns("*").setHandshakeHandler(new ByQuery());
    }
  }

  /** Takes the user's name from the query; a real application would look at a login. */
  static class ByQuery extends DefaultHandshakeHandler {
    @Override
    protected Principal determineUser(ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
      String user = UriComponentsBuilder.fromUri(request.getURI()).build().getQueryParams().getFirst("user");
      return () -> user;
    }
  }

  /** What clients may ask of the application itself. */
  @Controller
  static class Desk {
    private final SimpMessagingTemplate broker;
    private final SimpUserRegistry users;
    private final String name;

    Desk(SimpMessagingTemplate broker, SimpUserRegistry users, @Value("${chat.server}") String name) {
      this.broker = broker;
      this.users = users;
      this.name = name;
    }

    /** Tell everyone who listens to a topic. */
    @MessageMapping("/announce/{topic}")
    void announce(@DestinationVariable String topic, @Payload String words) {
      broker.convertAndSend("/topic/" + topic, name + ": " + words);
    }

    /** Answer the one who asked, in all of the user's sessions. */
    @MessageMapping("/echo")
    @SendToUser("/queue/x")
    String echo(@Payload String words, Principal user) {
      return user.getName() + ": " + words;
    }

    /** Tell one user, whichever server holds the session. */
    @MessageMapping("/tell/{user}")
    void tell(@DestinationVariable String user, @Payload String words, Principal sender) {
      broker.convertAndSendToUser(user, "/queue/x", sender.getName() + ": " + words);
    }

    /** Answer how many users all servers know of, where nothing waits for a session that has gone. */
    @MessageMapping("/count")
    @SendToUser("/topic/count")
    String count() {
      return "users: " + users.getUserCount();
    }

    @EventListener
    void hear(BrokerAvailabilityEvent event) {
      OUT.println(name + " broker " + event.isBrokerAvailable());
    }
  }
}
