// Key with shadow map, fill, rim and a hemisphere; colours are linear.
uniform vec3 u_key_direction;
uniform vec3 u_key;
uniform vec3 u_fill_direction;
uniform vec3 u_fill;
uniform vec3 u_sky;
uniform vec3 u_ground;
uniform vec3 u_rim;
uniform sampler2D u_shadow_map;
uniform sampler3D u_noise;
uniform float u_exposure;

float lit(vec3 p, vec3 n) {
    vec4 s = u_shadow * vec4(p + n * 0.35, 1.0);
    vec3 q = s.xyz * 0.5 + 0.5;
    float sum = 0.0;
    for (int i = 0; i < 4; i++) {
        vec2 o = (vec2(i & 1, i >> 1) - 0.5) * 0.007;
        sum += smoothstep(-0.004, 0.004, texture(u_shadow_map, q.xy + o).r - q.z + 0.006);
    }
    return sum * 0.25;
}

vec3 shade(vec3 albedo, vec3 p, vec3 n, vec3 v, float ao, vec3 wrap, float gloss, float power) {
    float shadow = lit(p, n);
    vec3 key = clamp((dot(n, u_key_direction) + wrap) / (1.0 + wrap), 0.0, 1.0);
    vec3 soft = mix(vec3(shadow), vec3(1.0), wrap * 0.35);
    float fill = clamp(dot(n, u_fill_direction) * 0.7 + 0.3, 0.0, 1.0);
    vec3 sky = mix(u_ground, u_sky, n.y * 0.5 + 0.5);
    float fresnel = pow(1.0 - clamp(dot(n, v), 0.0, 1.0), 4.0);
    vec3 occlusion = pow(vec3(ao), vec3(0.75, 0.95, 1.0));
    vec3 colour = albedo * (key * soft * u_key * mix(1.0, ao, 0.35) + (fill * u_fill + sky) * occlusion);
    vec3 half_way = normalize(v + u_key_direction);
    float spec = pow(max(dot(n, half_way), 0.0), power) * shadow + 0.25 * pow(max(dot(n, normalize(v + u_fill_direction)), 0.0), power);
    colour += gloss * (0.35 + 0.65 * fresnel) * spec * u_key * ao;
    colour += u_rim * fresnel * ao * clamp(0.3 + n.y, 0.0, 1.0) * (0.15 + albedo);
    return colour;
}

vec4 developed(vec3 colour, float alpha) {
    vec3 c = colour * u_exposure;
    c = mix(c, 1.0 - 0.3 * exp(-(c - 0.7) / 0.3), step(0.7, c));   // a soft shoulder instead of clipping
    return vec4(pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2)), alpha);
}
